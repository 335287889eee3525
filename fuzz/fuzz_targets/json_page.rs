#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| haproxy_agent_check::fuzzing::json_page(data));
