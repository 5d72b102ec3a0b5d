# SPDX-License-Identifier: MIT
"""What a bench says: JSON lines for programs, the goals at the end for people."""
import json
import sys

# (figure, field, at least or at most, limit); "at best": nobody is disappointed without it.
# Times are told in whole milliseconds: the difference of two may be one too little.
GOALS = (
    ("submit/1x1", "of_beanstalkd", "at least", 0.6),
    ("submit/50x1", "of_beanstalkd", "at least", 6),
    ("submit/50x16", "of_beanstalkd", "at least", 10),
    ("submit/50x16", "of_submit_proto", "at least", 0.75),
    ("submit/50x1", "of_redis", "at best", 1),
    ("slow/50x16", "of_beanstalkd", "at least", 100),
    ("slow/info", "p50_ms", "at most", 0.5),
    ("slow/info", "p99_ms", "at most", 10),
    ("cycle/50x1", "of_beanstalkd", "at least", 4),
    ("waiting/memory", "value", "at most", 200),
    ("waiting/disk", "value", "at most", 300),
    ("waiting/ready", "value", "at most", 2),
    ("waiting/submit", "of_empty", "at least", 0.8),
    ("workers/2", "of_xargs", "at least", 1.2),
    ("timers/spread", "least_ms", "at least", -1.01),
    ("timers/at_once", "least_ms", "at least", -0.01),
    ("timers/at_once", "most_ms", "at most", 10),
    ("fetches/1k", "cpu_of_curl", "at most", 1.6),
    ("fetches/1k", "of_curl", "at most", 1.5),
    ("fetches/100ms", "of_curl", "at most", 0.7),
)
figures = {}  # name -> what was told of it


def tell(name, value, unit, **more):
    line = {"name": name, "value": round(value, 4), "unit": unit}
    line.update((key, round(x, 4)) for key, x in more.items())
    figures[name] = line
    print(json.dumps(line), flush=True)


def note(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def print_goals():
    rows = [(name, field, word, limit, figures[name][field]) for name, field, word, limit in GOALS
            if field in figures.get(name, {})]
    if not rows:
        return
    note("goals of this run's groups")
    for name, field, word, limit, got in rows:
        is_met = got <= limit if word == "at most" else got >= limit
        verdict = "met" if is_met else "stretch" if word == "at best" else "MISSED"
        what = name if field == "value" else f"{name} {field}"
        note(f"  {what:<32} {word} {limit:<6g} {got:>10.4g}  {verdict}")
