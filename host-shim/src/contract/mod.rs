//! What a runtime asks and what it is given back: plain data, without the generated bindings.

pub mod event;
pub mod request;
pub mod thread_id;
pub mod tool_input;
