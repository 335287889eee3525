#!/bin/bash
# What the agent is measured against: the six thresholds as a shell script, with the tools that WCS's
# own haproxy-agent-check.sh uses, but written to be quick: the page is fetched once, one jq takes
# every value out of it, one bc compares them all.
#
# Usage: agent.sh URL, where URL is the statistics page as JSON
set -euo pipefail
export LC_ALL=C
# Under xinetd it is the connection.
exec 2>/dev/null

down() {
	echo down
	exit 1
}
trap down ERR

averages=$(uptime)
IFS=', ' read -r _ load _ <<<"${averages##*load average: }"
processors=$(getconf _NPROCESSORS_ONLN)

# Group names differ between versions, so all groups become one. What is not reported is passed over.
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
