//! `tables.safetensors`, in memory once: sessions and scorer read the same.

use std::ops::Range;

use half::f16;
use marquee_core::idle::{all, all_finite};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use super::error::BundleError;
use super::manifest::{Manifest, Positions, TablePrecision};

/// The names of the tables that encoders declare as external initialisers.
pub(crate) const ENCODER_TABLES: [&str; 2] = [ITEM_EMBEDDING, POSITION_EMBEDDING];

pub(crate) const ITEM_EMBEDDING: &str = "item_embedding";
pub(crate) const OUTPUT_EMBEDDING: &str = "output_embedding";
pub(crate) const POSITION_EMBEDDING: &str = "position_embedding";

/// The tables of a bundle.
#[derive(Debug)]
pub(crate) struct Tables {
    map: Mmap,
    precision: TablePrecision,
    item_embedding: Place,
    output_embedding: Place,
    /// Where the network has learnt positions.
    position_embedding: Option<Place>,
    /// The output embedding in f32 where the file has it in f16: scoring wants f32.
    output_converted: Option<Vec<f32>>,
}

/// Where a table lies in the file.
#[derive(Clone, Debug)]
struct Place {
    bytes: Range<usize>,
    shape: [usize; 2],
}

/// The elements of a table, row-major.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Elements<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
}

/// A table as a graph wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'a> {
    pub(crate) elements: Elements<'a>,
    pub(crate) shape: [usize; 2],
}

impl Tables {
    /// Checks the file against the manifest.
    pub(super) fn read(bundle: &str, map: Mmap, manifest: &Manifest) -> Result<Self, BundleError> {
        let wrong = |table: &str, why: String| BundleError::Table {
            bundle: bundle.to_owned(),
            table: table.to_owned(),
            why,
        };
        let precision = manifest.tables.precision;
        let tensors = SafeTensors::deserialize(&map)
            .map_err(|error| wrong(&manifest.tables.file, error.to_string()))?;
        let place = |table: &str, rows: usize| {
            let tensor = tensors.tensor(table).map_err(|error| wrong(table, error.to_string()))?;
            let shape = [rows, manifest.dimension];
            if tensor.shape() != shape || tensor.dtype() != precision.dtype() {
                return Err(wrong(
                    table,
                    format!(
                        "it is {:?} {:?}, bundle.json says {shape:?} {:?}",
                        tensor.shape(),
                        tensor.dtype(),
                        precision.dtype()
                    ),
                ));
            }
            let start = tensor.data().as_ptr() as usize - map.as_ptr() as usize;
            if !start.is_multiple_of(precision.bytes()) {
                return Err(wrong(table, format!("it begins at byte {start}, which is not aligned")));
            }
            Ok(Place { bytes: start..start + tensor.data().len(), shape })
        };
        let item_embedding = place(ITEM_EMBEDDING, manifest.items)?;
        let output_embedding = place(OUTPUT_EMBEDDING, manifest.items)?;
        let position_embedding = match manifest.positions {
            Positions::Right => Some(place(POSITION_EMBEDDING, manifest.maximum_length)?),
            Positions::Bias => None,
        };
        let mut tables = Self {
            map,
            precision,
            item_embedding,
            output_embedding,
            position_embedding,
            output_converted: None,
        };
        if let Elements::F16(values) = tables.elements(&tables.output_embedding) {
            tables.output_converted = Some(values.iter().map(|value| value.to_f32()).collect());
        }
        match tables.first_not_finite() {
            None => Ok(tables),
            Some(table) => Err(wrong(table, "it holds numbers that are not finite".to_owned())),
        }
    }

    /// The table that holds a number that is not finite, if one does.
    fn first_not_finite(&self) -> Option<&'static str> {
        let is_finite = |place| match self.elements(place) {
            Elements::F32(values) => all_finite(values),
            Elements::F16(values) => all(values, |value| value.is_finite()),
        };
        let tables = [(ITEM_EMBEDDING, &self.item_embedding), (OUTPUT_EMBEDDING, &self.output_embedding)];
        let positions = self.position_embedding.iter().map(|place| (POSITION_EMBEDDING, place));
        tables.into_iter().chain(positions).find(|(_, place)| !is_finite(place)).map(|(table, _)| table)
    }

    /// The output embedding, `items x dimension`, row-major.
    pub(crate) fn output(&self) -> &[f32] {
        match (&self.output_converted, self.elements(&self.output_embedding)) {
            (Some(converted), _) => converted,
            (None, Elements::F32(values)) => values,
            (None, Elements::F16(_)) => &[],
        }
    }

    /// The table of a name, as graphs declare it.
    pub(crate) fn table(&self, name: &str) -> Option<Table<'_>> {
        let place = match name {
            ITEM_EMBEDDING => &self.item_embedding,
            OUTPUT_EMBEDDING => &self.output_embedding,
            POSITION_EMBEDDING => self.position_embedding.as_ref()?,
            _ => return None,
        };
        Some(Table { elements: self.elements(place), shape: place.shape })
    }

    fn elements(&self, place: &Place) -> Elements<'_> {
        let bytes = &self.map[place.bytes.clone()];
        match self.precision {
            TablePrecision::F32 => Elements::F32(bytemuck::cast_slice(bytes)),
            TablePrecision::F16 => Elements::F16(bytemuck::cast_slice(bytes)),
        }
    }
}

impl TablePrecision {
    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
        }
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}
