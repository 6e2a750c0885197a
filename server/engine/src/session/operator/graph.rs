//! Graphs whose causal attention is an operator of ours: ONNX's bytes with those nodes written anew.
//!
//! Read is only what decides, written are only those nodes: all else that a graph has, whether this program knows it or
//! not, is copied byte for byte.

use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field,
};
use prost::{DecodeError, Message};

use super::super::onnx::Node;

/// The operator that takes the place of ONNX's: its domain, its name, and the version of the domain.
pub(super) const DOMAIN: &str = "marquee";
pub(super) const OPERATOR: &str = "CausalAttention";
const VERSION: i64 = 1;

/// Where ONNX has what is written anew; these numbers and those of the messages are of `onnx.proto`.
const GRAPH_OF_MODEL: u32 = 7;
const IMPORT_OF_MODEL: u32 = 8;
const NODE_OF_GRAPH: u32 = 1;
const OPERATOR_OF_NODE: u32 = 4;
const ATTRIBUTE_OF_NODE: u32 = 5;
const DOMAIN_OF_NODE: u32 = 7;

/// A domain of operators that a model uses.
#[derive(Message)]
struct Import {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

/// A model whose causal attention is the operator's.
#[derive(Debug, PartialEq)]
pub(super) struct Rewritten {
    pub(super) model: Vec<u8>,
    /// Heads of the attention.
    pub(super) heads: usize,
}

/// The model with the operator in the place of each node that does exactly what it does, all with as many heads;
/// `None` when there is no such node.
pub(super) fn with_operator(model: &[u8]) -> Result<Option<Rewritten>, DecodeError> {
    let mut heads = None;
    let mut rewritten = Vec::with_capacity(model.len() + 256);
    for field in Fields(model) {
        match field? {
            Field { number: GRAPH_OF_MODEL, content: Some(graph), .. } => {
                put(&mut rewritten, GRAPH_OF_MODEL, &rewritten_graph(graph, &mut heads)?);
            }
            other => rewritten.extend_from_slice(other.bytes),
        }
    }
    Ok(heads.map(|heads| {
        let import = Import { domain: DOMAIN.to_owned(), version: VERSION };
        put(&mut rewritten, IMPORT_OF_MODEL, &import.encode_to_vec());
        Rewritten { model: rewritten, heads }
    }))
}

/// The first node that fits says how many `heads` the others must have.
fn rewritten_graph(graph: &[u8], heads: &mut Option<usize>) -> Result<Vec<u8>, DecodeError> {
    let mut rewritten = Vec::with_capacity(graph.len());
    for field in Fields(graph) {
        let field = field?;
        let node = field.content.filter(|_| field.number == NODE_OF_GRAPH);
        let found = node.map(Node::decode).transpose()?.and_then(|node| heads_of(&node));
        match (node, found) {
            (Some(node), Some(found)) if *heads.get_or_insert(found) == found => {
                put(&mut rewritten, NODE_OF_GRAPH, &rewritten_node(node)?);
            }
            _ => rewritten.extend_from_slice(field.bytes),
        }
    }
    Ok(rewritten)
}

fn rewritten_node(node: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut rewritten = Vec::with_capacity(node.len());
    for field in Fields(node) {
        let field = field?;
        if ![OPERATOR_OF_NODE, ATTRIBUTE_OF_NODE, DOMAIN_OF_NODE].contains(&field.number) {
            rewritten.extend_from_slice(field.bytes);
        }
    }
    put(&mut rewritten, OPERATOR_OF_NODE, OPERATOR.as_bytes());
    put(&mut rewritten, DOMAIN_OF_NODE, DOMAIN.as_bytes());
    Ok(rewritten)
}

/// The heads of a node that does what the operator does and nothing else: ONNX's `Attention` of queries, keys, values
/// and, if it has one, a mask, with as many heads, causal, without a cache or a scale of its own. Of masks the operator
/// has those that the exporter writes, a matrix of floats a head, and refuses to run with others.
fn heads_of(node: &Node) -> Option<usize> {
    let is_attention = node.operator == "Attention" && ["", "ai.onnx"].contains(&&*node.domain);
    let has_all = [3, 4].contains(&node.inputs.len()) && node.inputs.iter().all(|name| !name.is_empty());
    if !is_attention || !has_all || node.outputs.len() != 1 || node.attributes.len() != 3 {
        return None;
    }
    let (is_causal, heads) = (node.integer("is_causal")? == 1, node.integer("q_num_heads")?);
    let fits = is_causal && node.integer("kv_num_heads")? == heads;
    usize::try_from(heads).ok().filter(|_| fits)
}

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Field<'a> {
    number: u32,
    /// What is in it, if it is a message, a text or the like.
    content: Option<&'a [u8]>,
    /// All of it, as it is written.
    bytes: &'a [u8],
}

/// The fields of a message, one after the other, up to one that is none.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = first_of(self.0);
        self.0 = field.as_ref().map_or(&[], |field| &self.0[field.bytes.len()..]);
        Some(field)
    }
}

fn first_of(message: &[u8]) -> Result<Field<'_>, DecodeError> {
    let mut value = message;
    let (number, wire) = decode_key(&mut value)?;
    let mut rest = value;
    skip_field(wire, number, &mut rest, DecodeContext::default())?;
    let content = if wire == WireType::LengthDelimited {
        let mut content = &value[..value.len() - rest.len()];
        decode_varint(&mut content)?;
        Some(content)
    } else {
        None
    };
    Ok(Field { number, content, bytes: &message[..message.len() - rest.len()] })
}

fn put(message: &mut Vec<u8>, number: u32, content: &[u8]) {
    encode_key(number, WireType::LengthDelimited, message);
    encode_varint(content.len() as u64, message);
    message.extend_from_slice(content);
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::session::onnx::Attribute;
    use crate::tests::fixture;

    fn attribute((name, integer): (&str, i64)) -> Attribute {
        Attribute { name: name.to_owned(), integer: Some(integer), refers_to: String::new() }
    }

    /// Causal attention as the exporter writes it.
    fn causal() -> Node {
        Node {
            inputs: ["q", "k", "v"].map(str::to_owned).to_vec(),
            outputs: vec!["y".to_owned()],
            operator: "Attention".to_owned(),
            attributes: [("is_causal", 1), ("kv_num_heads", 2), ("q_num_heads", 2)].map(attribute).to_vec(),
            domain: String::new(),
        }
    }

    fn changed(change: impl FnOnce(&mut Node)) -> Node {
        let mut node = causal();
        change(&mut node);
        node
    }

    fn model_of(nodes: &[Node]) -> Vec<u8> {
        let (mut graph, mut model) = (Vec::new(), Vec::new());
        for node in nodes {
            put(&mut graph, NODE_OF_GRAPH, &node.encode_to_vec());
        }
        put(&mut model, GRAPH_OF_MODEL, &graph);
        model
    }

    fn fields(message: &[u8]) -> Vec<Field<'_>> {
        Fields(message).collect::<Result<_, _>>().unwrap()
    }

    fn nodes(model: &[u8]) -> Vec<Node> {
        let graphs = fields(model).into_iter().filter(|field| field.number == GRAPH_OF_MODEL);
        let nodes = graphs.flat_map(|graph| fields(graph.content.unwrap()));
        let nodes = nodes.filter(|field| field.number == NODE_OF_GRAPH);
        nodes.map(|node| Node::decode(node.content.unwrap()).unwrap()).collect()
    }

    /// A model whose attention is not causal any more.
    pub(in super::super) fn not_causal(model: &[u8]) -> Vec<u8> {
        let [causal, not] = [1, 0].map(|integer| attribute(("is_causal", integer)).encode_to_vec());
        let at = model.windows(causal.len()).position(|window| window == causal).unwrap();
        [&model[..at], &not, &model[at + causal.len()..]].concat()
    }

    #[test]
    fn a_causal_node_becomes_the_operator_with_its_inputs_and_its_output() {
        let rewritten = with_operator(&model_of(&[causal()])).unwrap().unwrap();
        let expected = changed(|node| {
            node.operator = OPERATOR.to_owned();
            node.domain = DOMAIN.to_owned();
            node.attributes.clear();
        });
        assert_eq!(nodes(&rewritten.model), [expected]);
        assert_eq!(rewritten.heads, 2);
    }

    #[test]
    fn a_node_that_does_anything_else_stays_as_it_is() {
        let others = [
            changed(|node| node.operator = "Attention2".to_owned()),
            changed(|node| node.domain = "com.microsoft".to_owned()),
            changed(|node| node.inputs.extend(["mask", "past_key"].map(str::to_owned))),
            changed(|node| node.inputs.push(String::new())),
            changed(|node| node.inputs[2].clear()),
            changed(|node| node.outputs.push("present_key".to_owned())),
            changed(|node| node.attributes[0].integer = Some(0)),
            changed(|node| node.attributes[0].refers_to = "causal".to_owned()),
            changed(|node| node.attributes[1].integer = Some(1)),
            changed(|node| node.attributes[2].integer = None),
            changed(|node| node.attributes[1].name = "scale".to_owned()),
            changed(|node| node.attributes.push(attribute(("softcap", 1)))),
            changed(|node| node.attributes.truncate(2)),
        ];
        for other in others {
            assert_eq!(with_operator(&model_of(std::slice::from_ref(&other))), Ok(None));
            let beside = with_operator(&model_of(&[other.clone(), causal()])).unwrap().unwrap();
            assert_eq!(nodes(&beside.model)[0], other);
        }
    }

    #[test]
    fn nodes_with_another_number_of_heads_than_the_first_stay_as_they_are() {
        let other = changed(|node| node.attributes[1..].iter_mut().for_each(|heads| heads.integer = Some(4)));
        let rewritten = with_operator(&model_of(&[causal(), other.clone(), causal()])).unwrap().unwrap();
        let nodes = nodes(&rewritten.model);
        assert_eq!(nodes[1], other);
        assert!([0, 2].iter().all(|index| nodes[*index].operator == OPERATOR));
    }

    #[test]
    fn all_else_of_a_graph_is_kept_byte_for_byte() {
        for file in ["encoder.cpu.onnx", "encoder.cpu.int8.onnx"] {
            let model = fs::read(fixture().join(file)).unwrap();
            let rewritten = with_operator(&model).unwrap().unwrap().model;
            let (before, after) = (fields(&model), fields(&rewritten));
            assert_eq!(after[before.len()..].iter().map(|field| field.number).collect::<Vec<_>>(), [8]);
            for (before, after) in before.iter().zip(&after) {
                if before.number != GRAPH_OF_MODEL {
                    assert_eq!(before, after);
                    continue;
                }
                let (before, after) = (fields(before.content.unwrap()), fields(after.content.unwrap()));
                assert_eq!(before.len(), after.len());
                let changed: Vec<_> = before.iter().zip(&after).filter(|(one, other)| one != other).collect();
                assert_eq!(changed.len(), 1, "{file}");
                let [before, after] =
                    [changed[0].0, changed[0].1].map(|field| fields(field.content.unwrap()));
                let kept = |field: &Field<'_>| [1, 2, 3].contains(&field.number);
                assert!(before.into_iter().filter(kept).eq(after.into_iter().filter(kept)), "{file}");
            }
        }
    }

    #[test]
    fn what_protobuf_does_not_know_yet_is_kept() {
        let mut node = causal().encode_to_vec();
        put(&mut node, 99, b"of a later ONNX");
        let (mut graph, mut model) = (Vec::new(), Vec::new());
        put(&mut graph, NODE_OF_GRAPH, &node);
        put(&mut graph, 98, b"as well");
        put(&mut model, GRAPH_OF_MODEL, &graph);
        let rewritten = with_operator(&model).unwrap().unwrap().model;
        for kept in [&b"of a later ONNX"[..], b"as well"] {
            assert!(rewritten.windows(kept.len()).any(|window| window == kept));
        }
    }

    #[test]
    fn a_graph_whose_attention_is_not_ours_to_replace_has_none() {
        let model = fs::read(fixture().join("encoder.cpu.onnx")).unwrap();
        assert_eq!(with_operator(&not_causal(&model)), Ok(None));
        let of_another_domain = fs::read(fixture().join("naive.encoder.cpu.onnx")).unwrap();
        assert_eq!(with_operator(&of_another_domain), Ok(None));
        assert_eq!(with_operator(&[]), Ok(None));
    }

    #[test]
    fn what_ends_too_early_is_refused() {
        let model = model_of(&[causal()]);
        assert!((1..model.len()).all(|cut| with_operator(&model[..cut]).is_err()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, at: usize, by: u8) {
            let _ = with_operator(&bytes);
            let mut model = model_of(&[causal(), causal()]);
            let at = at % model.len();
            model[at] ^= by;
            let _ = with_operator(&model);
        }
    }
}
