#!/bin/bash
# The agent is compared with this script. It checks the six thresholds with the tools that WCS's own
# haproxy-agent-check.sh uses. It is written to be fast: it fetches the page once, and one jq and one bc handle
# all values.
#
# Usage: agent.sh URL, where URL is the statistics page as JSON
set -euo pipefail
export LC_ALL=C
# Under xinetd, standard error is the connection.
exec 2>/dev/null

down() {
	echo down
	exit 1
}
trap down ERR

averages=$(uptime)
IFS=', ' read -r _ load _ <<<"${averages##*load average: }"
processors=$(getconf _NPROCESSORS_ONLN)

# Group names differ between versions of WCS, so `add` merges all groups. A value that is missing is ignored.
reached=$(curl -sf --max-time 1.5 "$1" | jq -r '
	def total($keys): [.[$keys[]] | values | tonumber] | add | values;
	add
	| total(["streams_webrtc_in", "streams_rtmp_in", "streams_rtsp_in"]),
	  total(["streams_webrtc_out", "streams_rtmp_out", "streams_rtsp_out"]),
	  total(["streams_hls"]),
	  total(["global_bandwidth_in"]),
	  total(["global_bandwidth_out"])
	| "|| \(.) >= 100"')
reached=$(bc <<<"scale=4; $load / $processors * 100 >= 90 ${reached//$'\n'/ }")

((!reached)) || down
echo 'up 100%'
