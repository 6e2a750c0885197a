//! What is read of ONNX's messages; the numbers are those of `onnx.proto`.

use prost::Message;

/// An operation of a graph.
#[derive(Clone, Message, PartialEq)]
pub(super) struct Node {
    #[prost(string, repeated, tag = "1")]
    pub(super) inputs: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) outputs: Vec<String>,
    #[prost(string, tag = "4")]
    pub(super) operator: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) attributes: Vec<Attribute>,
    #[prost(string, tag = "7")]
    pub(super) domain: String,
}

#[derive(Clone, Message, PartialEq)]
pub(super) struct Attribute {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int64, optional, tag = "3")]
    pub(super) integer: Option<i64>,
    /// Of a function's body: the attribute of the call that it stands for.
    #[prost(string, tag = "21")]
    pub(super) refers_to: String,
}

impl Node {
    /// The attribute of this name, if it is a whole number that stands here.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        let attribute = self.attributes.iter().find(|attribute| attribute.name == name);
        attribute.filter(|attribute| attribute.refers_to.is_empty())?.integer
    }
}
