"""The page's style sheet."""

from __future__ import annotations

CSS = """
:root{--paper:#ffffff;--ink:#1b1f24;--dim:#5b6570;--grid:#d6dade;--closed:#0072b2;--open:#c24e00;
--gold:#007a5a;--load:#6b7280;--input:#b9c0c8;--prefill:#0b6fae;--decode:#f0a271;--score:#9c7fc0;
--panel:#f5f7f9;--warning:#8a4b00}
@media (prefers-color-scheme:dark){:root{--paper:#14181c;--ink:#e7eaed;--dim:#9aa5b0;
--grid:#343b43;--closed:#56b4e9;--open:#e8743b;--gold:#00b389;--load:#8c96a3;--input:#56606b;
--prefill:#3d97d3;--decode:#e39a6c;--score:#b497d6;--panel:#1c2127;--warning:#f0b35a}}
@media print{:root{--paper:#ffffff;--ink:#000000;--dim:#444444;--grid:#cccccc;--closed:#0072b2;
--open:#c24e00;--gold:#007a5a;--panel:#ffffff;--warning:#8a4b00}
nav{display:none}section,figure,tr{break-inside:avoid}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,
"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
header,main,footer{max-width:1060px;margin:0 auto;padding:0 20px}
header{padding-top:28px}
h1{font-size:26px;margin:0 0 6px}h2{font-size:20px;margin:0 0 10px}
header p{margin:2px 0;color:var(--dim);overflow-wrap:anywhere}
nav{margin:14px 0 0;padding:8px 0;border:solid var(--grid);border-width:1px 0}
nav a{margin-right:18px;white-space:nowrap}
a{color:var(--closed)}
section{margin:34px 0}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(235px,1fr));gap:12px;margin:0}
dl>div{background:var(--panel);border:1px solid var(--grid);border-radius:6px;padding:10px 14px}
dt a{color:var(--dim);text-decoration:none;font-size:13px}
dd{margin:0}dd:nth-child(2){font-size:21px;font-weight:600;line-height:1.35}
dd small{font-size:12.5px;line-height:1.35;display:block}
dd.closed,td.closed{color:var(--closed)}dd.open,td.open{color:var(--open)}
dd.gold,td.gold{color:var(--gold)}dd.warning{color:var(--warning)}
p.warning,td.warning{color:var(--warning);font-weight:600}
p.dim,td.dim,small,figcaption,caption{color:var(--dim)}
section>p{margin:4px 0}
figure{margin:18px 0 8px}
figure>svg{width:100%;height:auto;display:block;stroke-linejoin:round;stroke-linecap:butt}
figure>svg text{font-family:"DejaVu Sans",Verdana,system-ui,sans-serif!important}
figcaption{font-size:13px;margin-top:4px}
.table{overflow-x:auto;margin:16px 0 4px}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:4px 0;color:var(--ink)}
th,td{text-align:left;vertical-align:top;padding:4px 10px 4px 0;border-bottom:1px solid var(--grid);
overflow-wrap:break-word;max-width:560px}
thead th{white-space:nowrap;border-bottom:2px solid var(--dim)}
tbody th{font-weight:400}
td small,th small{display:block;font-size:12px;line-height:1.3}
details{margin:4px 0}
summary{cursor:pointer;color:var(--dim);font-size:13px}
details.folded>summary{font-weight:600;color:var(--ink);font-size:14px;margin-top:14px}
details.behind{margin-bottom:14px}
details.behind p{margin:6px 0 2px;font-size:13px}
pre{background:var(--panel);border:1px solid var(--grid);border-radius:4px;padding:8px 10px;
overflow-x:auto;font-size:12.5px;line-height:1.4;white-space:pre-wrap;overflow-wrap:anywhere}
code{font-size:.92em}
footer{padding-bottom:40px;color:var(--dim);font-size:13px}
"""
