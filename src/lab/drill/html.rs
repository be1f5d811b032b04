//! A drill as one page for a browser: nothing is fetched from anywhere, dark and light. Pure.

use std::fmt::Write as _;

use super::judge::{Amount, Verdict};
use super::picture::{Picture, Span};
use super::{Comparison, FaultReport, Report};

/// The picture, in its own units.
const WIDTH: f64 = 1000.0;
/// Where the lanes begin: their names stand before.
const LEFT: f64 = 132.0;
const LANE: f64 = 26.0;
const BAR: f64 = 14.0;
/// Above the first lane: the word at the moment of the fault.
const TOP: f64 = 22.0;
/// Names of times, below the lanes.
const AXIS: f64 = 26.0;
/// Nothing is narrower: it could not be seen.
const LEAST: f64 = 1.6;
/// Marks on the axis, about.
const TICKS: f64 = 9.0;

const STYLE: &str = "
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--text:#1c2430;--dim:#667085;--line:#dde1e7;--a:#2563eb;--b:#d9730d;
--bad:#d92d20;--warn:#a21caf;--good:#067647;--goodbg:#e6f6ee;--badbg:#fdeceb}
@media(prefers-color-scheme:dark){:root{--page:#12151a;--card:#1b2027;--text:#e4e7ec;--dim:#98a2b3;--line:#303744;--a:#6ea8fe;
--b:#f5a953;--bad:#ff7a70;--warn:#f0abfc;--good:#5fd39a;--goodbg:#12331f;--badbg:#43191a}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 20px 60px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:18px;margin:0;flex:1}
p{margin:0 0 20px;color:var(--dim)}
section,.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin:0 0 20px}
.head{display:flex;gap:12px;align-items:baseline;margin-bottom:10px}
.badge{font-size:13px;font-weight:600;padding:2px 10px;border-radius:99px;color:var(--good);background:var(--goodbg);white-space:nowrap}
.badge.no{color:var(--bad);background:var(--badbg)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th{font-weight:600;color:var(--dim);text-align:left;border-bottom:1px solid var(--line);padding:4px 10px 6px 0}
td{padding:5px 10px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}
td.n,th.n{text-align:right;white-space:nowrap}
td small{color:var(--dim)}
a{color:inherit;text-decoration-color:var(--dim)}
.no td.m,.stuck{color:var(--bad);font-weight:600}
svg{display:block;width:100%;min-width:640px;height:auto;margin:6px 0 12px}
svg text{font:12px system-ui,sans-serif;fill:var(--dim)}
.a{fill:var(--a)}.b{fill:var(--b)}.lost{fill:var(--bad)}.failed{fill:var(--warn)}
.rule{stroke:var(--line)}.fault{stroke:var(--text);stroke-dasharray:3 3}
svg text.at{fill:var(--text);font-weight:600}
.key{color:var(--dim);font-size:13px;margin:0 0 20px}
.key b{display:inline-block;width:12px;height:12px;border-radius:3px;margin:0 6px 0 16px;vertical-align:-1px}
.key b:first-child{margin-left:0}
";

/// The page of a drill, with what several runs measured where there were several.
pub fn page(report: &Report, comparison: Option<&Comparison>) -> String {
    let kept = comparison.map_or(report.kept, |comparison| comparison.kept);
    let word = if kept { "All bounds hold" } else { "Bounds are broken" };
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>vipd drill: {word}</title><style>{STYLE}</style></head>\n\
         <body><main><h1>vipd drill</h1><p>A pair of directors, <i>a</i> the preferred master and <i>b</i> its backup, broken in every \
         planned way while a client keeps asking. {badge}</p>\n",
        badge = badge(kept, word)
    );
    out += &match comparison {
        Some(comparison) => compared(comparison),
        None => summary(report),
    };
    out += "<p class=\"key\"><b style=\"background:var(--a)\"></b>a<b style=\"background:var(--b)\"></b>b\
            <b style=\"background:var(--bad)\"></b>probe lost<b style=\"background:var(--warn)\"></b>connection failed\
            &emsp;thin marks: adverts&emsp;triangles: announcements of the VIP (gratuitous ARP)</p>\n";
    for (number, fault) in report.faults.iter().enumerate() {
        section(&mut out, number, fault);
    }
    out + "</main></body></html>\n"
}

fn badge(good: bool, word: &str) -> String {
    format!("<span class=\"badge{}\">{}</span>", if good { "" } else { " no" }, escape(word))
}

fn summary(report: &Report) -> String {
    let mut out = String::from(
        "<div class=\"card scroll\"><table><tr><th>what was done<th class=\"n\">outage<th class=\"n\">probes lost\
         <th class=\"n\">connections failed<th class=\"n\"></tr>\n",
    );
    for (number, fault) in report.faults.iter().enumerate() {
        let FaultReport { probes, probes_lost, connections, connections_failed, kept, .. } = fault;
        let row = if *kept { "" } else { " class=\"no\"" };
        let [outage, probes, connections] = match fault.picture {
            Some(_) => [
                measured(fault.outage),
                format!("{probes_lost} of {probes}"),
                format!("{connections_failed} of {connections}"),
            ],
            None => ["-"; 3].map(str::to_owned),
        };
        // Writing to a String cannot fail.
        writeln!(
            out,
            "<tr{row}><td><a href=\"#f{number}\">{}</a><td class=\"n\">{outage}<td class=\"n\">{probes}\
             <td class=\"n\">{connections}<td class=\"n\">{}</tr>",
            escape(&fault.fault),
            badge(*kept, if *kept { "holds" } else { "BROKEN" })
        )
        .ok();
    }
    out + "</table></div>\n"
}

fn compared(comparison: &Comparison) -> String {
    let mut out = format!(
        "<div class=\"card scroll\"><table><tr><th>{} runs<th class=\"n\">bound<th class=\"n\">median<th class=\"n\">maximum\
         <th class=\"n\">keepalived: median<th class=\"n\">maximum</tr>\n",
        comparison.runs
    );
    let mut fault = "";
    for row in &comparison.rows {
        if row.fault != fault {
            fault = &row.fault;
            writeln!(out, "<tr><td colspan=\"6\"><strong>{}</strong></tr>", escape(fault)).ok();
        }
        let class = if row.ours.broken > 0 { " class=\"no\"" } else { "" };
        let cells = row
            .keepalived
            .map_or(["-".to_owned(), "-".to_owned()], |theirs| [theirs.median, theirs.maximum].map(measured));
        writeln!(
            out,
            "<tr{class}><td>{}<td class=\"n\">{}<td class=\"n m\">{}<td class=\"n m\">{}<td class=\"n\">{}<td class=\"n\">{}</tr>",
            escape(&row.promise),
            row.limit.map_or_else(|| "-".to_owned(), Amount::text),
            measured(row.ours.median),
            measured(row.ours.maximum),
            cells[0],
            cells[1]
        )
        .ok();
    }
    out + "</table></div>\n"
}

fn measured(amount: Option<Amount>) -> String {
    amount.map_or_else(|| "no end".to_owned(), Amount::text)
}

fn section(out: &mut String, number: usize, fault: &FaultReport) {
    let word = if fault.kept { "holds" } else { "BROKEN" };
    let (name, badge) = (escape(&fault.fault), badge(fault.kept, word));
    writeln!(out, "<section id=\"f{number}\"><div class=\"head\"><h2>{name}</h2>{badge}</div>").ok();
    if let Some(picture) = &fault.picture {
        *out += "<div class=\"scroll\">";
        draw(out, picture);
        *out += "</div>";
    }
    *out += "<div class=\"scroll\"><table><tr><th>promise<th class=\"n\">measured<th class=\"n\">bound<th>how the bound comes about</tr>\n";
    for Verdict { promise, formula, limit, measured: got, kept } in &fault.verdicts {
        let class = if *kept { "" } else { " class=\"no\"" };
        let (promise, formula, limit, got) = (escape(promise), escape(formula), limit.text(), measured(*got));
        writeln!(
            out,
            "<tr{class}><td>{promise}<td class=\"n m\">{got}<td class=\"n\">{limit}<td><small>{formula}</small></tr>"
        )
        .ok();
    }
    *out += "</table></div>";
    if let Some(what) = &fault.stuck {
        writeln!(out, "<div class=\"stuck\">waited in vain for: {}</div>", escape(what)).ok();
    }
    *out += "</section>\n";
}

/// From times to places.
struct Scale {
    begin_s: f64,
    per_second: f64,
}

impl Scale {
    fn of(whole: Span) -> Self {
        let (begin_s, end_s) = (seconds(whole.begin_us), seconds(whole.end_us));
        Self { begin_s, per_second: (WIDTH - LEFT) / (end_s - begin_s).max(0.001) }
    }

    fn x(&self, us: i64) -> f64 {
        LEFT + (seconds(us) - self.begin_s) * self.per_second
    }
}

fn seconds(us: i64) -> f64 {
    // Milliseconds of weeks are exact.
    i32::try_from(us / 100).map_or(f64::from(i32::MAX), f64::from) / 10_000.0
}

fn draw(out: &mut String, picture: &Picture) {
    let scale = Scale::of(picture.whole);
    let names = ["a has the VIP", "b has the VIP", "client sends to", "not answered", "a says", "b says"];
    let lanes = f64::from(u8::try_from(names.len()).unwrap_or(u8::MAX));
    let bottom = TOP + lanes * LANE;
    let height = bottom + AXIS;
    writeln!(out, "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"timeline\">").ok();
    axis(out, &scale, picture.whole, bottom);
    let mut y = TOP;
    let mut tops = vec![];
    for name in names {
        writeln!(out, "<text x=\"0\" y=\"{:.1}\">{name}</text>", y + LANE / 2.0 + 4.0).ok();
        tops.push(y + (LANE - BAR) / 2.0);
        y += LANE;
    }
    if let [held_a, held_b, towards, lost, says_a, says_b] = tops.as_slice() {
        bars(out, &scale, &picture.held_by_a, *held_a, BAR, "a");
        bars(out, &scale, &picture.held_by_b, *held_b, BAR, "b");
        bars(out, &scale, &picture.client_sends_to_a, *towards, BAR, "a");
        bars(out, &scale, &picture.client_sends_to_b, *towards, BAR, "b");
        bars(out, &scale, &picture.probes_lost, *lost, BAR / 2.0, "lost");
        bars(out, &scale, &picture.connections_failed, lost + BAR / 2.0, BAR / 2.0, "failed");
        says(out, &scale, (&picture.adverts_of_a, &picture.claims_of_a), *says_a, "a");
        says(out, &scale, (&picture.adverts_of_b, &picture.claims_of_b), *says_b, "b");
    }
    let (x, end) = (scale.x(0), bottom + 2.0);
    writeln!(out, "<line class=\"fault\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{end}\"/>").ok();
    writeln!(out, "<text class=\"at\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">fault</text></svg>", TOP - 7.0)
        .ok();
}

fn axis(out: &mut String, scale: &Scale, whole: Span, bottom: f64) {
    let span = seconds(whole.end_us - whole.begin_us);
    let steps = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0];
    let step = steps.into_iter().find(|step| span / step <= TICKS).unwrap_or(300.0);
    let mut at = (scale.begin_s / step).ceil() * step;
    while at <= scale.begin_s + span {
        let x = LEFT + (at - scale.begin_s) * scale.per_second;
        // A name that would be cut off at the edge is left out.
        let shown = if at.abs() < step / 2.0 { 0.0 } else { at };
        let name = if x < WIDTH - 16.0 { format!("{shown:.1} s") } else { String::new() };
        writeln!(out, "<line class=\"rule\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>").ok();
        writeln!(out, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>", bottom + 18.0).ok();
        at += step;
    }
}

fn bars(out: &mut String, scale: &Scale, spans: &[Span], y: f64, height: f64, class: &str) {
    for Span { begin_us, end_us } in spans {
        let x = scale.x(*begin_us);
        let width = (scale.x(*end_us) - x).max(LEAST);
        let title = format!("{:.3} s to {:.3} s", seconds(*begin_us), seconds(*end_us));
        writeln!(
            out,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"1.5\"><title>{title}</title></rect>"
        )
        .ok();
    }
}

/// Adverts as thin marks, claims as triangles on top of them.
fn says(out: &mut String, scale: &Scale, (adverts, claims): (&[i64], &[i64]), y: f64, class: &str) {
    for at in adverts {
        let x = scale.x(*at) - 0.5;
        let (top, height) = (y + BAR / 2.0, BAR / 2.0);
        writeln!(out, "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"1\" height=\"{height:.1}\"/>").ok();
    }
    for at in claims {
        let x = scale.x(*at);
        let (left, right, low) = (x - 3.5, x + 3.5, y + BAR / 2.0 - 1.0);
        writeln!(
            out,
            "<path class=\"{class}\" d=\"M{left:.1} {y:.1}H{right:.1}L{x:.1} {low:.1}Z\"><title>{:.3} s</title></path>",
            seconds(*at)
        )
        .ok();
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::MonoTime;
    use crate::lab::drill::judge::Promise;
    use crate::lab::pair::Seat;
    use crate::lab::records::{Advert, Claim, Move, Probe, Window};

    fn report() -> Report {
        let at = |ms| MonoTime::from_start(Duration::from_millis(ms));
        let mut window = Window::empty(at(9_000), at(10_000), at(12_000));
        window.held_at_begin = vec![Seat::A];
        window.moves = vec![Move { at: at(10_350), seat: Seat::B, holds: true }];
        window.probes = (0..100).map(|n| Probe { flow: 0, sent: at(10_000 + n * 2), answer: None }).collect();
        window.adverts = vec![Advert { at: at(9_900), seat: Seat::A, vrid: 1, priority: 150 }];
        window.claims = vec![Claim { at: at(10_351), seat: Seat::B, addr: "10.0.0.100".parse().unwrap() }];
        let promises =
            [Promise::Outage { limit: Duration::from_millis(380), formula: "3 * 0.1 < 1 & more".to_owned() }];
        let fault = FaultReport::new("kill -9 of <a>".to_owned(), &window, &promises, 1, None);
        Report::new(vec![fault], 1)
    }

    #[test]
    fn a_page_is_whole_and_fetches_nothing() {
        let page = page(&report(), None);
        for wanted in
            ["<!doctype html>", "kill -9 of &lt;a&gt;", "3 * 0.1 &lt; 1 &amp; more", "BROKEN", "</html>", "no end"]
        {
            assert!(page.contains(wanted), "{wanted}");
        }
        for unwanted in ["http", "src=", "@import", "<script", "url("] {
            assert!(!page.contains(unwanted), "{unwanted}");
        }
        assert_eq!(page.matches("<section").count(), page.matches("</section>").count());
        assert_eq!(page.matches("<svg").count(), 1);
    }

    #[test]
    fn a_picture_has_everything_at_its_place() {
        let mut text = String::new();
        draw(
            &mut text,
            &Picture::of(&Window::empty(
                MonoTime::ZERO,
                MonoTime::from_start(Duration::from_secs(1)),
                MonoTime::from_start(Duration::from_secs(2)),
            )),
        );
        // The fault is in the middle of the lanes.
        assert!(text.contains("class=\"fault\" x1=\"566.0\""), "{text}");
        assert!(text.contains(">-1.0 s<") && text.contains(">0.0 s<"), "{text}");
    }
}
