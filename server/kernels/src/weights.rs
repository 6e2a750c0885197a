//! What a network has learned, as plain matrices: what packing begins with.

use crate::shape::{Shape, Unfit};

/// A layer normalisation: `dimension` numbers each.
#[derive(Clone, Debug, Default)]
pub struct Norm {
    /// What a normalised number is multiplied by.
    pub scale: Vec<f32>,
    /// What is added then.
    pub bias: Vec<f32>,
}

/// A block. Matrices are `dimension` x `dimension`, a row an input: `y = x W + b`.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Before attention; its result is the residual too.
    pub norm1: Norm,
    /// Of the normalised row.
    pub query: Vec<f32>,
    /// Of the query.
    pub query_bias: Vec<f32>,
    /// Of the row as it is; `None` where the row itself is the key, which takes one head.
    pub key: Option<Vec<f32>>,
    /// Of the row as it is.
    pub value: Vec<f32>,
    /// Before the dense layers; its result is the residual too.
    pub norm2: Norm,
    /// With its bias and a ReLU.
    pub dense1: Vec<f32>,
    /// Of the first dense layer.
    pub dense1_bias: Vec<f32>,
    /// Without a bias.
    pub dense2: Vec<f32>,
    /// What is added to the logits of a position that lies so far before the one that attends, 0 for itself: as many
    /// numbers a head as a sequence may have; `None` where nothing is added.
    pub distances: Option<Vec<f32>>,
}

/// An encoder without its tables.
#[derive(Clone, Debug)]
pub struct Weights {
    /// Of all matrices.
    pub shape: Shape,
    /// First to last.
    pub blocks: Vec<Block>,
    /// Of the newest position behind the last block.
    pub final_norm: Norm,
}

impl Weights {
    /// Whether every matrix has the size that the shape asks for, and these kernels can run the shape.
    ///
    /// # Errors
    /// [`Unfit`], which says what is wrong.
    pub fn check(&self) -> Result<(), Unfit> {
        self.shape.check()?;
        let d = self.shape.dimension;
        if self.blocks.len() != self.shape.blocks {
            let found = self.blocks.len();
            return Err(Unfit(format!("there are {found} blocks of {}", self.shape.blocks)));
        }
        let sized = |what: &str, values: &[f32], size: usize| {
            let why = || Unfit(format!("{what} has {} numbers, not {size}", values.len()));
            if values.len() == size { Ok(()) } else { Err(why()) }
        };
        for block in &self.blocks {
            for matrix in [&block.query, &block.value, &block.dense1, &block.dense2] {
                sized("a matrix", matrix, d * d)?;
            }
            match &block.key {
                Some(key) => sized("a key matrix", key, d * d)?,
                None if self.shape.heads > 1 => return Err(Unfit("several heads have no keys".to_owned())),
                None => {}
            }
            if let Some(distances) = &block.distances {
                sized("a bias by distance", distances, self.shape.heads * self.shape.longest)?;
            }
            for row in [&block.query_bias, &block.dense1_bias] {
                sized("a bias", row, d)?;
            }
            for norm in [&block.norm1, &block.norm2] {
                sized("a norm's scale", &norm.scale, d)?;
                sized("a norm's bias", &norm.bias, d)?;
            }
        }
        sized("the final norm's scale", &self.final_norm.scale, d)?;
        sized("the final norm's bias", &self.final_norm.bias, d)
    }
}
