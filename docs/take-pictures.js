// Takes the two pictures of docs/make-pictures.
//
// Usage: node take-pictures.js CHROMIUM STATISTICS_URL COMMAND OUTPUT_FILE FOLDER
"use strict";

const fs = require("fs");
const path = require("path");
const { chromium } = require("playwright-core");

const [executablePath, statisticsUrl, command, outputFile, folder] = process.argv.slice(2);

// HAProxy's statistics page. The mouse is on the last check of the server that is down, because HAProxy shows the
// agent's reason there.
async function takeStatistics(browser) {
  // As narrow as possible: the tooltip goes beyond the right edge of the table.
  const page = await browser.newPage({ viewport: { width: 900, height: 700 } });
  // Without the refresh, which would close the tooltip.
  await page.goto(statisticsUrl + ";norefresh");
  const row = page.locator("tr.active_down").first();
  const lastCheck = row.locator("td > u").filter({ hasText: "via agent" });
  await lastCheck.hover();
  const tooltip = lastCheck.locator("div.tips");
  await tooltip.waitFor({ state: "visible" });
  const table = page.locator("table.tbl").filter({ has: row }).last();
  const title = table.locator("xpath=preceding::table[1]");
  const boxes = await Promise.all([title, table, tooltip].map((part) => part.boundingBox()));
  const file = path.join(folder, "haproxy-statistics.png");
  await page.screenshot({ path: file, clip: around(boxes), fullPage: true });
}

// The output of the command on a terminal, with its colours.
async function takeTerminal(browser) {
  const page = await browser.newPage({ deviceScaleFactor: 1.5 });
  const output = fs.readFileSync(outputFile, "utf8").replaceAll("\r\n", "\n").trimEnd();
  await page.setContent(`<style>
    body { margin: 0; background: #1e1e2e; }
    pre { display: inline-block; margin: 0; padding: 16px 20px; color: #dcdce6;
          font: 15px/1.4 "DejaVu Sans Mono", monospace; }
    .prompt { color: #8a8aa0; } .red { color: #ff6e6e; } .yellow { color: #f2c14e; } .green { color: #6ed67a; }
  </style><pre><span class="prompt">$ </span>${escape(command)}\n${coloured(output)}</pre>`);
  await page.locator("pre").screenshot({ path: path.join(folder, "explain.png") });
}

// HTML for a text with colour codes of ECMA-48. The agent uses only these four.
function coloured(text) {
  const classes = { 31: "red", 32: "green", 33: "yellow" };
  return escape(text).replace(/\x1b\[(\d+)m/g, (_, code) =>
    code === "0" ? "</span>" : `<span class="${classes[code]}">`);
}

function escape(text) {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
}

// The rectangle around boxes, with a small margin.
function around(boxes) {
  const air = 3;
  const left = Math.min(...boxes.map((box) => box.x)) - air;
  const top = Math.min(...boxes.map((box) => box.y)) - air;
  const right = Math.max(...boxes.map((box) => box.x + box.width)) + air;
  const bottom = Math.max(...boxes.map((box) => box.y + box.height)) + air;
  const x = Math.max(left, 0);
  const y = Math.max(top, 0);
  return { x, y, width: right - x, height: bottom - y };
}

async function main() {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    await takeStatistics(browser);
    await takeTerminal(browser);
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
