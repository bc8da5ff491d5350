"""How the report looks: its colours, in a light and a dark set, and its style sheet.

Plots and page share the colours by name. A plot is drawn in stand-in colours (`stand_in`) that are replaced by
the CSS variables of the page, so that one SVG fits both sets. The hues are near Okabe and Ito's
colour-blind-safe ones, lighter for the dark set; whatever a colour says is also said by a mark, a line style or
a word.
"""

from __future__ import annotations

from rl.runs.record import Stage

COLOURS = {
    # name: (light, dark)
    "paper": ("#fcfcfa", "#15181b"),
    "card": ("#ffffff", "#1c2024"),
    "ink": ("#1a1f24", "#e6e9ec"),
    "muted": ("#5a6570", "#9ba6b1"),
    "rule": ("#dde2e6", "#30373e"),
    "base": ("#6b7580", "#a3adb8"),
    "warm": ("#c25500", "#f19a52"),
    "grpo": ("#0068a8", "#62b8f2"),
    "wrong": ("#c9ced3", "#4a535c"),
    "good": ("#00704f", "#3fc08f"),
    "bad": ("#b3261e", "#ff8a80"),
    "line1": ("#0068a8", "#62b8f2"),
    "line2": ("#c25500", "#f19a52"),
    "line3": ("#00805c", "#3fc08f"),
    "line4": ("#a8477f", "#e08fc0"),
    "line5": ("#6b7580", "#a3adb8"),
    "line6": ("#7a6200", "#d8bd3c"),
}


def stand_in(name: str) -> str:
    """The colour a plot is drawn in where the page shall show `var(--name)`."""
    number = 1 + list(COLOURS).index(name)
    return f"#{number:02x}{number:02x}{number:02x}"


def stage_colour(stage: Stage) -> str:
    """Name of a stage's colour."""
    return stage.value


def style_sheet() -> str:
    """The page's CSS; plain ASCII."""
    light = "".join(f"--{name}:{colours[0]};" for name, colours in COLOURS.items())
    dark = "".join(f"--{name}:{colours[1]};" for name, colours in COLOURS.items())
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media(prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
        f"@media print{{:root{{{light}}}}}\n{_RULES}"
    )


_RULES = """
*{box-sizing:border-box}
:root{--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
--mono:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 var(--sans)}
main{max-width:1160px;margin:0 auto;padding:40px 24px 72px}
header .kind{margin:0;color:var(--muted);font-size:14px}
h1{margin:2px 0 14px;font-size:34px;line-height:1.15;letter-spacing:-.015em;overflow-wrap:anywhere}
h2{margin:56px 0 6px;padding-top:14px;border-top:1px solid var(--rule);font-size:22px;letter-spacing:-.01em}
h3{margin:28px 0 8px;font-size:16px}
p{margin:8px 0;max-width:74ch}
.verdict{font-size:21px;line-height:1.42;max-width:62ch;margin:0 0 10px}
.note{color:var(--muted);font-size:14px}
code,.mono{font-family:var(--mono);font-size:.92em}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:12px;margin:22px 0 0;padding:0}
.tiles div{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:12px 16px}
.tiles dt{color:var(--muted);font-size:13px}
.tiles dd{margin:0;font-size:28px;line-height:1.25;font-variant-numeric:tabular-nums;letter-spacing:-.01em}
.tiles dd small{display:block;font-size:13px;color:var(--muted);letter-spacing:0}
figure{margin:0}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{font-family:var(--sans)!important}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:10px 0;padding:0;list-style:none;font-size:14px}
.legend i{display:inline-block;width:20px;margin-right:6px;vertical-align:middle;border-top:3px solid}
.legend i.box{width:13px;height:13px;border:0;border-radius:2px}
.legend b{font-weight:400;margin-right:5px}
.pair{display:grid;grid-template-columns:minmax(0,580px) minmax(0,1fr);gap:20px 40px;margin:14px 0}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,330px),1fr));
gap:28px 32px;margin:18px 0}
.panels figure{display:flex;flex-direction:column;min-width:0}
.panels svg{margin-top:auto}
.panels.top svg{margin-top:0}
.panels.top figure{max-width:540px}
.panels.wide{grid-template-columns:repeat(auto-fill,minmax(min(100%,440px),1fr))}
figcaption{margin-bottom:4px;font-size:14px;font-weight:600}
figcaption p{margin:2px 0 0;font-weight:400;font-size:12.5px;color:var(--muted)}
figcaption .legend{margin:2px 0 0;font-weight:400;font-size:12.5px;color:var(--muted);gap:1px 12px}
.said{margin:0;padding:0;list-style:none;font-size:15px}
.said li{margin:0 0 12px;padding-left:12px;border-left:3px solid var(--rule)}
.scroll{overflow-x:auto;margin:14px 0;border:1px solid var(--rule);border-radius:8px;background:var(--card)}
table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums;white-space:nowrap;width:100%}
th,td{padding:6px 9px;text-align:right;border-bottom:1px solid var(--rule)}
tr:last-child>*{border-bottom:0}
thead th{vertical-align:bottom;font-weight:600;font-size:12.5px;color:var(--muted);line-height:1.3}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:var(--card)}
tbody th{font-weight:500}
tr.group>*{background:var(--paper)}
tr.group th{font-weight:600;padding-top:12px}
td small{color:var(--muted);font-size:12px}
tr:not(.group) td small{display:block;line-height:1.2}
td small.ok{color:var(--good);font-weight:600}
td small.strong{color:var(--ink);font-weight:600}
td small.no{color:var(--bad);font-weight:600}
td.other{font-weight:600}
.boxes{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,440px),1fr));gap:14px;margin:14px 0}
.boxes section{background:var(--card);border:1px solid var(--rule);border-left:4px solid var(--bad);
border-radius:8px;padding:10px 16px}
.boxes h3{margin:0 0 6px;overflow-wrap:anywhere}
.boxes .said{font-size:14px}
.boxes .said li{margin:0 0 6px;padding:0;border:0}
.boxes ul ul{margin:0;padding-left:16px;color:var(--muted);font-size:13px}
.boxes ul ul li{margin:0}
.boxes details{margin:0}
.boxes summary{font-size:13px;color:var(--muted)}
.nb{white-space:nowrap}
.under p{margin:2px 0 0;font-size:12.5px;color:var(--muted);max-width:none}
.under b,.legend strong{color:var(--ink)}
.dot{display:inline-block;width:9px;height:9px;border-radius:50%;margin-right:7px}
.counts{display:flex;flex-wrap:wrap;gap:6px;margin:10px 0;padding:0;list-style:none;font-size:13.5px}
.counts li{border:1px solid var(--rule);border-radius:99px;padding:1px 11px;background:var(--card)}
.counts b{font-variant-numeric:tabular-nums}
.counts .zero{color:var(--muted)}
.problem{border:1px solid var(--rule);border-radius:8px;background:var(--card);margin:14px 0;overflow:hidden}
.problem>header{padding:10px 16px;border-bottom:1px solid var(--rule)}
.problem>header p{margin:0;max-width:none;font-size:13.5px;color:var(--muted)}
.problem .prompt{font:14px/1.45 var(--mono);white-space:pre-wrap;overflow-wrap:anywhere;color:var(--ink)}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,270px),1fr));gap:1px;background:var(--rule)}
.columns section{background:var(--card);padding:10px 16px 14px;min-width:0}
.columns h4{margin:0 0 6px;font-size:13.5px;display:flex;flex-wrap:wrap;gap:0 10px;align-items:baseline}
.columns h4>span{font-weight:400;color:var(--muted)}
.columns h4>.ok,.mark.ok{color:var(--good)}
.columns h4>.no,.mark.no{color:var(--bad)}
.mark.na{color:var(--muted)}
.steps{margin:0;padding:0;list-style:none;font:13px/1.45 var(--mono);overflow-wrap:anywhere}
.steps li{position:relative;padding:1px 0 1px 20px;white-space:pre-wrap}
.steps .mark{position:absolute;left:0;font-family:var(--sans)}
.steps em{display:block;color:var(--bad);font:italic 12.5px/1.4 var(--sans)}
.steps .undone s{color:var(--muted)}
.steps .undone em,.steps em.plain{color:var(--muted)}
.raw{font:12.5px/1.45 var(--mono);color:var(--muted);overflow-wrap:anywhere;margin:4px 0 0}
.ctl{color:var(--muted);font-size:.85em}
details{margin:12px 0}
details details,.columns details{margin:4px 0}
summary{cursor:pointer;font-size:14px}
pre{overflow-x:auto;background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:14px 16px;
font:13px/1.5 var(--mono)}
.facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:5px 22px;font-size:14.5px;margin:14px 0}
.facts dt{color:var(--muted)}
.facts dd{margin:0;overflow-wrap:anywhere}
@media(max-width:760px){
main{padding:24px 16px 48px}
h1{font-size:27px}.verdict{font-size:18px}h2{margin-top:40px}
.pair{grid-template-columns:minmax(0,1fr)}
.tiles{grid-template-columns:1fr 1fr}.tiles dd{font-size:23px}
.facts{grid-template-columns:minmax(0,1fr);gap:0}.facts dd{margin-bottom:8px}
}
"""
