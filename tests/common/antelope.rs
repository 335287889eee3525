//! Answers of Antelope services, made from the fixtures.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// The head block in the fixtures.
pub const HEAD: u64 = 263_148_621;

/// The time `lag` seconds ago in Antelope's notation: UTC, without a time zone.
fn iso_time(lag: f64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let date = Command::new("date")
        .args(["-u", "-d", &format!("@{:.3}", now - lag), "+%Y-%m-%dT%H:%M:%S.%3N"])
        .output()
        .unwrap();
    String::from_utf8(date.stdout).unwrap().trim().to_owned()
}

/// The answer of nodeos, with a head block that is `lag` seconds old.
pub fn get_info(lag: f64) -> String {
    format!(r#"{{"head_block_num": {HEAD}, "head_block_time": "{}"}}"#, iso_time(lag))
}

/// Hyperion's health, with a head block that is `lag` seconds old and this last indexed block.
pub fn v2_health(lag: f64, indexed: u64) -> String {
    let fixture = include_str!("../fixtures/antelope/v2_health.json");
    let old = format!("\"last_indexed_block\": {HEAD}");
    let changed = fixture
        .replace("2022-08-17T14:16:36.000", &iso_time(lag))
        .replace(&old, &format!("\"last_indexed_block\": {indexed}"));
    assert_ne!(changed, fixture);
    changed
}

/// AtomicAssets' health, with a head block that is `lag` seconds old and this status of Redis.
pub fn atomic_health(lag: f64, redis: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let head_ms = ((now - lag) * 1000.0) as u64;
    let fixture = include_str!("../fixtures/antelope/atomic_health.json");
    let redis_before = "\"redis\": {\n   \"status\": \"OK\"";
    assert!(fixture.contains(redis_before));
    fixture
        .replace("\"head_time\": 1660745796000", &format!("\"head_time\": {head_ms}"))
        .replace(redis_before, &redis_before.replace("OK", redis))
}
