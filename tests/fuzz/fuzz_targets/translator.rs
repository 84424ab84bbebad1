//! A whole turn of the component, over whatever `codex exec` prints. An input is what [`run`] says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plexum_openai_provider_fuzz::turn::run;
use plexum_openai_provider_guest::bindings::settings::Transport;

fuzz_target!(|data: &[u8]| run(data, Transport::Exec));
