// Recommends for a stored user, records a rating, and recommends again.
//
//	go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
//	go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
//	cd client/examples/go && buf generate ../../../proto --path ../../../proto/marquee && go run .
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"

	marquee "marquee/v1"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	server := os.Getenv("MARQUEE_SERVER")
	if server == "" {
		server = "127.0.0.1:50051"
	}
	connection, err := grpc.NewClient(server, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	recommender := marquee.NewRecommendationServiceClient(connection)
	k := uint32(3)
	request := &marquee.RecommendRequest{Subject: &marquee.RecommendRequest_UserId{UserId: 1}, K: &k}
	reply, err := recommender.Recommend(ctx, request)
	if err != nil {
		return err
	}
	for _, movie := range reply.GetRecommendations() {
		fmt.Printf("%7d %s\n", movie.GetMovieId(), movie.GetTitle())
	}

	stars := 5.0
	rating := &marquee.RecordInteractionRequest{
		User:   &marquee.RecordInteractionRequest_UserId{UserId: 1},
		Movie:  &marquee.RecordInteractionRequest_MovieId{MovieId: 2571},
		Rating: &stars,
		Time:   timestamppb.Now(),
	}
	written, err := marquee.NewInteractionServiceClient(connection).RecordInteraction(ctx, rating)
	if err != nil {
		return err
	}
	request.ConsistencyToken = written.ConsistencyToken
	if reply, err = recommender.Recommend(ctx, request); err != nil {
		return err
	}
	fmt.Println("then:", reply.GetRecommendations()[0].GetTitle())
	return nil
}
