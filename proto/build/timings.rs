//! Turns the descriptor of `Timings` into code that knows its stages by name and in order, so that whoever shows
//! them needs no list of their own.

use std::error::Error;

use prost_reflect::DescriptorPool;

/// The field that the stages add up to.
const TOTAL: &str = "total_us";

/// The source of `impl v1::Timings`: the stages' names, and the way between the fields and an array.
pub(crate) fn timings_code(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let timings = pool.get_message_by_name("marquee.v1.Timings").ok_or("there is no marquee.v1.Timings")?;
    // As they are written: a stage that came later has a later number, and its place all the same.
    let written = timings.descriptor_proto().field.iter().map(|field| field.name().to_owned());
    let fields: Vec<String> = written.filter(|name| name != TOTAL).collect();
    let name = |field: &String| {
        let stage = field.strip_suffix("_us").ok_or("a stage of marquee.v1.Timings is named <stage>_us")?;
        Ok(format!("{stage:?}"))
    };
    let names = fields.iter().map(name).collect::<Result<Vec<_>, &str>>()?.join(", ");
    let read: Vec<String> = fields.iter().map(|field| format!("self.{field}")).collect();
    let (count, fields, read) = (fields.len(), fields.join(", "), read.join(", "));
    Ok(format!(
        "impl v1::Timings {{
    /// The stages, in the order of their fields `<stage>_us`.
    pub const STAGES: [&'static str; {count}] = [{names}];

    /// Timings of the [`STAGES`](Self::STAGES), in their order.
    pub fn new({TOTAL}: u32, stages_us: [u32; {count}]) -> Self {{
        let [{fields}] = stages_us;
        Self {{ {TOTAL}, {fields} }}
    }}

    /// The times of the [`STAGES`](Self::STAGES), in their order.
    pub fn stages_us(&self) -> [u32; {count}] {{
        [{read}]
    }}
}}
"
    ))
}
