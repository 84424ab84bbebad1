//! What a runtime asks for and what it gets back: plain data, without the generated bindings.

pub mod description;
pub mod effort;
pub mod event;
pub mod request;
pub mod thread_id;
pub mod tool_input;
