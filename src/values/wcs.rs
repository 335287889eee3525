/*!
The figures of a Flashphoner WCS that have names of their own.

The names, the keys and the limits are those of Flashphoner's `haproxy-agent-check.sh`.
*/

use crate::values::value::{PageKeys, Source, ValueKind};

pub const PUBLISHERS: ValueKind =
    streams("publishers", &["streams_webrtc_in", "streams_rtmp_in", "streams_rtsp_in"]);

pub const SUBSCRIBERS: ValueKind =
    streams("subscribers", &["streams_webrtc_out", "streams_rtmp_out", "streams_rtsp_out"]);

pub const HLS: ValueKind = streams("hls", &["streams_hls"]);

pub const BAND_IN: ValueKind = bandwidth("band-in", &["global_bandwidth_in"]);

pub const BAND_OUT: ValueKind = bandwidth("band-out", &["global_bandwidth_out"]);

const fn streams(name: &'static str, keys: &'static [&'static str]) -> ValueKind {
    ValueKind {
        name,
        unit: "",
        default_limit: Some(100.0),
        is_default: true,
        source: Source::StatisticsPage { keys: PageKeys::Sum(keys), advice: None },
    }
}

const fn bandwidth(name: &'static str, keys: &'static [&'static str]) -> ValueKind {
    let advice = Some("set global_bandwidth_check_enabled=true in flashphoner.properties");
    let source = Source::StatisticsPage { keys: PageKeys::Sum(keys), advice };
    ValueKind { unit: "Mbps", source, ..streams(name, keys) }
}
