"""Recommends for a stored user, records a rating, and recommends again.

client/packages/build
pip install client/packages/dist/marquee_client-*.whl
python client/examples/python/recommend.py
"""

import os

import grpc
from marquee.v1 import interaction_pb2 as events
from marquee.v1 import interaction_pb2_grpc as event_services
from marquee.v1 import recommendation_pb2 as messages
from marquee.v1 import recommendation_pb2_grpc as services

with grpc.insecure_channel(os.environ.get("MARQUEE_SERVER", "127.0.0.1:50051")) as channel:
    recommender = services.RecommendationServiceStub(channel)
    request = messages.RecommendRequest(user_id=1, k=3)
    for movie in recommender.Recommend(request, timeout=10).recommendations:
        print(f"{movie.movie_id:7} {movie.title}")

    rating = events.RecordInteractionRequest(user_id=1, movie_id=2571, rating=5.0)
    rating.time.GetCurrentTime()
    written = event_services.InteractionServiceStub(channel).RecordInteraction(rating, timeout=10)
    request.consistency_token = written.consistency_token
    print("then:", recommender.Recommend(request, timeout=10).recommendations[0].title)
