//! The weights of a bundle's CPU graph, as the kernels of our own want them.
//!
//! A graph names its initialisers after the layer that they are of (`onnx/marquee_onnx/graphs/cpu.py` authors it), so
//! that they are found by name; of the graph nothing else is read. That the kernels compute what the graph does is
//! checked as for every encoder: by the bundle's probe.

use std::collections::HashMap;
use std::fs;

use marquee_kernels::{Block, Norm, Shape, Weights};
use prost::Message;

use super::onnx::Node;
use crate::bundle::{Bundle, EncoderGraph};

/// Of a model, its graph with nodes and initialisers.
#[derive(Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
}

#[derive(Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    nodes: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    initializers: Vec<TensorProto>,
}

#[derive(Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

/// `TensorProto.DataType.FLOAT`.
const FLOAT: i32 = 1;

/// Reads the weights of a graph.
///
/// # Errors
/// Why it has none that the kernels know, as a sentence.
pub(super) fn read(bundle: &Bundle, graph: &EncoderGraph) -> Result<Weights, String> {
    let bytes = fs::read(&graph.path).map_err(|error| format!("{}: {error}", graph.file))?;
    let model = ModelProto::decode(bytes.as_slice()).map_err(|error| format!("{}: {error}", graph.file))?;
    let graph = model.graph.unwrap_or_default();
    let (dimension, longest) = (bundle.dimension(), bundle.maximum_length());
    let layers = Layers::new(&graph.initializers);
    // Every block but the last has a node of attention; that of the last is spelt out.
    let heads = heads(&graph.nodes)?;
    let norms = graph.initializers.iter().filter(|tensor| tensor.name.ends_with(".norm1.scale"));
    let blocks = norms.count();
    let last = blocks.checked_sub(1).ok_or("the graph has no block")?;
    let shape = Shape { dimension, heads: heads.unwrap_or_else(|| layers.heads(dimension)), blocks, longest };
    let blocks = (0..blocks).map(|number| layers.block(number, number == last, &shape));
    let blocks = blocks.collect::<Result<_, _>>()?;
    Ok(Weights { shape, blocks, final_norm: layers.norm("final_norm")? })
}

/// The heads that the nodes of attention have; `None` where there is no such node.
fn heads(nodes: &[Node]) -> Result<Option<usize>, String> {
    let mut found = None;
    for node in nodes.iter().filter(|node| node.operator == "Attention") {
        let heads = node.integer("q_num_heads").map_or(1, |heads| heads.max(0) as usize);
        if found.is_some_and(|found| found != heads) {
            return Err("its blocks have different numbers of heads".to_owned());
        }
        found = Some(heads);
    }
    Ok(found)
}

/// The initialisers by name.
struct Layers<'a>(HashMap<&'a str, &'a TensorProto>);

impl<'a> Layers<'a> {
    fn new(initializers: &'a [TensorProto]) -> Self {
        Self(initializers.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect())
    }

    /// Heads of a network of one block, whose parts of a row the graph has as a matrix, unless there is only one.
    fn heads(&self, dimension: usize) -> usize {
        let parts = self.0.get("head_parts").and_then(|tensor| tensor.dims.first());
        parts.map_or(1, |heads| (*heads).clamp(1, dimension as i64) as usize)
    }

    fn numbers(&self, name: &str) -> Result<Vec<f32>, String> {
        let tensor = self.0.get(name).ok_or_else(|| format!("the graph has no initialiser {name}"))?;
        if tensor.data_type != FLOAT {
            return Err(format!("the initialiser {name} is not of 32-bit floats"));
        }
        let (numbers, rest) = tensor.raw_data.as_chunks::<4>();
        let size: i64 = tensor.dims.iter().product();
        if !rest.is_empty() || size != numbers.len() as i64 {
            return Err(format!("the initialiser {name} has not the numbers of its shape"));
        }
        let numbers: Vec<f32> = numbers.iter().copied().map(f32::from_le_bytes).collect();
        if numbers.iter().all(|number| number.is_finite()) {
            Ok(numbers)
        } else {
            Err(format!("the initialiser {name} has numbers that are not finite"))
        }
    }

    fn norm(&self, name: &str) -> Result<Norm, String> {
        let part = |part: &str| self.numbers(&format!("{name}.{part}"));
        Ok(Norm { scale: part("scale")?, bias: part("bias")? })
    }

    fn block(&self, number: usize, is_last: bool, shape: &Shape) -> Result<Block, String> {
        let name = |layer: &str| format!("block{number}.{layer}");
        let part = |layer: &str| self.numbers(&name(layer));
        let query = if shape.heads == 1 { "sought" } else { "query" };
        let key = match part("key.weight") {
            _ if shape.heads == 1 => None,
            // Transposed there, and scaled as logits are.
            Ok(key) if is_last => Some(transposed(&key, shape)?),
            key => Some(key?),
        };
        Ok(Block {
            norm1: self.norm(&name("norm1"))?,
            query: part(&format!("{query}.weight"))?,
            query_bias: part(&format!("{query}.bias"))?,
            key,
            value: part("value.weight")?,
            norm2: self.norm(&name("norm2"))?,
            dense1: part("dense1.weight")?,
            dense1_bias: part("dense1.bias")?,
            dense2: part("dense2.weight")?,
            distances: self.distances(&name("distance_bias"), is_last, shape)?,
        })
    }

    /// The biases by distance, if there are any: the graph has them as matrices, and of the last block as their last row.
    fn distances(&self, name: &str, is_last: bool, shape: &Shape) -> Result<Option<Vec<f32>>, String> {
        if !self.0.contains_key(name) {
            return Ok(None);
        }
        let numbers = self.numbers(name)?;
        let longest = shape.longest;
        let of_a_head = if is_last { longest } else { longest * longest };
        if numbers.len() != shape.heads * of_a_head {
            return Err(format!("the initialiser {name} has not a bias for each head and distance"));
        }
        let newest = numbers.chunks_exact(of_a_head).map(|head| &head[of_a_head - longest..]);
        Ok(Some(newest.flat_map(|row| row.iter().rev().copied()).collect()))
    }
}

/// The key matrix of the last block, as those of the others are.
fn transposed(key: &[f32], shape: &Shape) -> Result<Vec<f32>, String> {
    let d = shape.dimension;
    if key.len() != d * d {
        return Err(format!("a key matrix has {} numbers, not {d} x {d}", key.len()));
    }
    let scale = (d as f32 / shape.heads as f32).sqrt();
    Ok((0..d * d).map(|at| key[at % d * d + at / d] * scale).collect())
}
