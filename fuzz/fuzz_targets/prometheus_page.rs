#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| haproxy_agent_check::fuzzing::prometheus_page(data));
