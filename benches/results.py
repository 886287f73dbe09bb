"""Writes benches/RESULTS.md from what `./scripts/bench --results` measured: one JSON object a line, of
this run on standard input, of all runs in benches/results.jsonl. Nothing in either is typed by hand."""

import json
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone

HERE = os.path.dirname(os.path.abspath(__file__))
KEPT = os.path.join(HERE, "results.jsonl")
PAGE = os.path.join(HERE, "RESULTS.md")


def said(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def processor():
    with open("/proc/cpuinfo") as lines:
        models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} × {models[0] if models else platform.machine()}"


def memory_gib():
    with open("/proc/meminfo") as lines:
        kib = next(int(line.split()[1]) for line in lines if line.startswith("MemTotal:"))
    return f"{kib / 1024 / 1024:.0f} GiB"


def system():
    with open("/etc/os-release") as lines:
        fields = dict(line.strip().split("=", 1) for line in lines if "=" in line)
    return f"{fields.get('PRETTY_NAME', 'Linux').strip(chr(34))}, kernel {platform.release()}"


def run():
    commit = said("git", "rev-parse", "--short=12", "HEAD") or "unknown"
    if said("git", "status", "--porcelain", "--untracked-files=no", "--", "..", ":!RESULTS.md", ":!results.jsonl"):
        commit += " with changes"
    return {
        "at": datetime.now(timezone.utc).strftime("%F %H:%M UTC"),
        "commit": commit,
        "machine": f"{processor()}, {memory_gib()}; {system()}",
        "rust": said("rustc", "--version"),
        "postgres": os.environ.get("BENCH_POSTGRES", ""),
        "command": os.environ.get("BENCH_COMMAND", "./scripts/bench --results"),
    }


def number(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"


def row(one):
    others = [f"{name}: {number(value)}" for name, value in one["peers"].items()]
    if one["limit"] is not None:
        others.append(f"{one['limit_is']}: {number(one['limit'])}")
    cells = [
        one["benchmark"],
        one["unit"],
        number(one["ours"]),
        "<br>".join(others),
        f"{one['ratio']:.2f}" if one["ratio"] is not None else "",
        f"{one['bar']:g}",
        str(one["run"] + 1),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def page(rows):
    runs = []
    for one in rows:
        about = {key: one[key] for key in ("at", "commit", "machine", "rust", "postgres", "command")}
        if about not in runs:
            runs.append(about)
        one["run"] = runs.index(about)
    lines = [
        "# Results",
        "",
        "Made by `./scripts/bench --results`; nothing here is typed by hand. What is measured, against"
        " what, and why the ratio should be so: [README](README.md). Larger is better.",
        "",
        "| benchmark | unit | tunemantra-worker | held against | ratio | should be | run |",
        "|---|---|---:|---|---:|---:|---:|",
        *map(row, rows),
        "",
        "| run | when | commit | machine | with | command |",
        "|---:|---|---|---|---|---|",
    ]
    for place, about in enumerate(runs, 1):
        tools = "; ".join(filter(None, [about["rust"], about["postgres"]]))
        lines.append(
            f"| {place} | {about['at']} | {about['commit']} | {about['machine']} | {tools}"
            f" | `{about['command']}` |"
        )
    return "\n".join(lines) + "\n"


def main():
    about = run()
    found = [json.loads(line) | about for line in sys.stdin if line.strip()]
    if not found:
        sys.exit("results: nothing was measured")
    key = lambda one: (one["benchmark"], one["unit"])
    kept = []
    if os.path.exists(KEPT):
        with open(KEPT) as lines:
            kept = [json.loads(line) for line in lines if line.strip()]
    measured = {key(one) for one in found}
    rows = sorted([one for one in kept if key(one) not in measured] + found, key=key)
    with open(KEPT, "w") as file:
        file.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in rows)
    with open(PAGE, "w") as file:
        file.write(page(rows))
    print(f"results: {len(found)} measured, {len(rows)} in {os.path.relpath(PAGE)}", file=sys.stderr)


main()
