//! The pages: what is on the screen, as lines, from the last look.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

use super::feed::{Look, Picture};
use super::latency::Quantiles;
use super::lines::{Cell, bars, cut, heading, left, right, style_of, table, wrapped};
use crate::cli::facts::{Consumer, Facts, Health, Lane, Problem, Step, bytes, count, rate, time, version};
use crate::cli::status::beside;

/// Looks that the bars show.
const BARS: usize = 30;
/// Routes that the overview names; the page has all.
const MOST_ROUTES: usize = 8;

/// What can be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Page {
    #[default]
    Overview,
    Routes,
    Backends,
    Letters,
    Events,
    Problems,
}

pub(super) const PAGES: [(Page, &str); 6] = [
    (Page::Overview, "Overview"),
    (Page::Routes, "Routes"),
    (Page::Backends, "Backends"),
    (Page::Letters, "Dead letters"),
    (Page::Events, "Events"),
    (Page::Problems, "Problems"),
];

const KEYS: &str = "\
Tab, right, left    next page, page before
1 2 3 4 5 6         overview, routes, backends, dead letters, events, problems
up, down, PgUp/Dn   scroll
p                   pause and go on
r                   ask now
?                   this help
q, Esc, Ctrl-C      end";

/// What is shown, and how.
pub(super) struct View {
    pub(super) page: Page,
    pub(super) paused: bool,
    pub(super) help: bool,
    pub(super) scroll: u16,
    coloured: bool,
    picture: Option<Picture>,
    at_ms: u64,
    /// Since when the host has not answered, and what was said.
    silent: Option<(u64, String)>,
    received: VecDeque<f64>,
    published: VecDeque<f64>,
}

impl View {
    pub(super) fn new(coloured: bool) -> Self {
        Self {
            page: Page::default(),
            paused: false,
            help: false,
            scroll: 0,
            coloured,
            picture: None,
            at_ms: 0,
            silent: None,
            received: VecDeque::new(),
            published: VecDeque::new(),
        }
    }

    /// Takes a look in; what was there stays where the host does not answer.
    pub(super) fn take(&mut self, look: Look) {
        match look.picture {
            Ok(picture) => {
                for (kept, value) in [
                    (&mut self.received, picture.facts.rates.received),
                    (&mut self.published, picture.facts.rates.published),
                ] {
                    kept.push_back(value);
                    if kept.len() > BARS {
                        kept.pop_front();
                    }
                }
                (self.picture, self.at_ms, self.silent) = (Some(picture), look.at_ms, None);
            }
            Err(error) => {
                let since = self.silent.as_ref().map_or(look.at_ms, |(since, _)| *since);
                self.silent = Some((since, error));
                self.at_ms = look.at_ms;
            }
        }
    }

    pub(super) fn turn(&mut self, by: isize) {
        let at = PAGES.iter().position(|(page, _)| *page == self.page).unwrap_or_default();
        let next = at.checked_add_signed(by).unwrap_or(PAGES.len() - 1) % PAGES.len();
        self.go(next);
    }

    pub(super) fn go(&mut self, number: usize) {
        if let Some((page, _)) = PAGES.get(number) {
            (self.page, self.scroll) = (*page, 0);
        }
    }

    pub(super) fn scroll_by(&mut self, by: i16) {
        self.scroll = self.scroll.saturating_add_signed(by);
    }

    /// Draws all of it.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let areas = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Min(1),
            Constraint::Length(1),
        ]);
        let [head, tabs, body, foot] = areas.areas(frame.area());
        let width = body.width;
        frame.render_widget(Paragraph::new(self.head(width)), head);
        frame.render_widget(Paragraph::new(self.tabs()), tabs);
        let lines = self.body(width, Some(body.height));
        let beyond = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(body.height);
        self.scroll = self.scroll.min(beyond);
        frame.render_widget(Paragraph::new(lines).scroll((self.scroll, 0)), body);
        let more = if self.scroll < beyond { "down: more · " } else { "" };
        let foot_text =
            format!("{more}q end · Tab page · p {} · ? help", if self.paused { "go on" } else { "pause" });
        frame.render_widget(
            Paragraph::new(foot_text).style(Style::new().add_modifier(Modifier::REVERSED)),
            foot,
        );
        if self.help {
            frame.render_widget(Clear, body);
            frame.render_widget(Paragraph::new(KEYS), body);
        }
    }

    fn head(&self, width: u16) -> Line<'static> {
        let state = match (&self.silent, self.paused) {
            (Some((since, _)), _) => {
                let seconds = self.at_ms.saturating_sub(*since) / 1_000;
                (Health::Ill, format!("no answer for {seconds} s, asking again"))
            }
            (None, true) => (Health::Doubtful, "paused".into()),
            (None, false) if self.picture.is_none() => (Health::Doubtful, "asking the host".into()),
            (None, false) => (Health::Well, "live".into()),
        };
        let about = self.picture.as_ref().map(|Picture { facts, .. }| about(facts)).unwrap_or_default();
        let about = cut(&about, usize::from(width).saturating_sub(state.1.len() + 14));
        Line::from(vec![
            Span::styled("stagewire ", Style::new().add_modifier(Modifier::BOLD)),
            Span::styled(state.1, style_of(state.0, self.coloured)),
            Span::raw(if about.is_empty() { String::new() } else { format!("  {about}") }),
        ])
    }

    fn tabs(&self) -> Line<'static> {
        let tab = |(number, (page, name)): (usize, &(Page, &str))| {
            let here = *page == self.page;
            let style = if here { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
            let text =
                if here { format!("[{} {name}]", number + 1) } else { format!(" {} {name} ", number + 1) };
            Span::styled(text, style)
        };
        Line::from(PAGES.iter().enumerate().map(tab).collect::<Vec<_>>())
    }

    /// The page, in as many lines as it takes. Where it has a height, problems leave half of that to the rest of the overview.
    pub(super) fn body(&self, width: u16, height: Option<u16>) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        if let Some((_, error)) = &self.silent {
            lines.extend(wrapped(error, width, 0).into_iter().map(|line| self.ill(line)));
            if self.picture.is_some() {
                lines.push(Line::raw("What follows is from the last answer."));
            }
            lines.push(Line::raw(""));
        }
        let Some(picture) = &self.picture else { return lines };
        match self.page {
            Page::Overview => {
                self.problems(&picture.facts, width, height.map(|height| height / 2), &mut lines);
                lines.push(Line::raw(""));
                self.overview(picture, width, &mut lines);
            }
            Page::Problems => self.problems(&picture.facts, width, None, &mut lines),
            Page::Routes => self.routes(picture, width, &mut lines),
            Page::Backends => self.backends(picture, width, &mut lines),
            Page::Letters => letters(picture, width, &mut lines),
            Page::Events => self.events(picture, width, &mut lines),
        }
        lines
    }

    fn ill(&self, text: String) -> Line<'static> {
        Line::from(Span::styled(text, style_of(Health::Ill, self.coloured)))
    }

    fn overview(&self, picture: &Picture, width: u16, lines: &mut Vec<Line<'static>>) {
        let facts = &picture.facts;
        self.flow(facts, width, lines);
        lines.push(Line::raw(""));
        lines.extend(table(
            &BACKENDS,
            facts.lanes.iter().map(|lane| self.backend(lane, picture)).collect(),
            width,
        ));
        lines.push(Line::raw(""));
        let mut routes: Vec<&String> = facts.routes.iter().collect();
        let each = |name: &String| facts.rates.routes.get(name).copied().unwrap_or_default();
        if routes.len() > MOST_ROUTES {
            routes.sort_by(|a, b| each(b).total_cmp(&each(a)));
        }
        let steps = |name: &String| {
            let own = facts.steps.iter().filter(|step| step.route == **name);
            own.map(|step| format!("{} {}", step.plugin, verdicts(step))).collect::<Vec<_>>().join(" → ")
        };
        let rows = routes.iter().take(MOST_ROUTES);
        let rows = rows.map(|name| vec![left(name.as_str()), right(rate(each(name))), left(steps(name))]);
        lines.extend(table(&["route", "matches", "steps"], rows.collect(), width));
        if let Some(more) = routes.len().checked_sub(MOST_ROUTES + 1) {
            lines.push(Line::raw(format!("and {} more, less busy", more + 1)));
        }
    }

    /// Each with its cause and what to do; the first alone where that takes more lines than there are.
    fn problems(&self, facts: &Facts, width: u16, most: Option<u16>, lines: &mut Vec<Line<'static>>) {
        if facts.problems.is_empty() {
            lines.push(Line::from(Span::styled("nothing is wrong", style_of(Health::Well, self.coloured))));
        }
        let told = |problem: &Problem| self.problem(problem, width);
        let all: Vec<_> = facts.problems.iter().flat_map(told).collect();
        if most.is_none_or(|most| all.len() <= most.into()) {
            return lines.extend(all);
        }
        let more = facts.problems.iter().skip(1).map(|problem| {
            let what = cut(&problem.what, usize::from(width).saturating_sub(9));
            Line::from(vec![self.severity(problem), Span::raw(what)])
        });
        lines.extend(facts.problems.iter().take(1).flat_map(told).chain(more));
        lines.push(Line::raw("         6 shows why, and what to do next"));
    }

    fn problem(&self, problem: &Problem, width: u16) -> Vec<Line<'static>> {
        let mut what = wrapped(&problem.what, width, 9).into_iter();
        let first = Line::from(vec![self.severity(problem), Span::raw(what.next().unwrap_or_default())]);
        let cause = (!problem.cause.is_empty()).then(|| format!("because: {}", problem.cause));
        let more = cause.into_iter().chain([format!("next: {}", problem.next)]);
        let more = what.chain(more.flat_map(|text| wrapped(&text, width, 9)));
        std::iter::once(first).chain(more.map(|line| Line::raw(format!("         {line}")))).collect()
    }

    fn severity(&self, problem: &Problem) -> Span<'static> {
        Span::styled(format!("{:<9}", problem.severity), style_of(problem.health(), self.coloured))
    }

    /// The way of an event: what comes in, what is kept, what goes out.
    fn flow(&self, facts: &Facts, width: u16, lines: &mut Vec<Line<'static>>) {
        let Facts { rates, journal, dead_letters, .. } = facts;
        let oldest = facts.lanes.iter().filter_map(|lane| lane.waits_ms).max();
        let row = |cells: [String; 5]| cells.map(left).into_iter().collect::<Vec<_>>();
        let kept = match journal.problem() {
            Some(_) => "cannot write".to_owned(),
            None => format!("{} unsettled", count(journal.unsettled)),
        };
        let waits = oldest
            .filter(|ms| *ms >= 1_000)
            .map_or_else(String::new, |ms| format!("oldest {}", time(ms as f64)));
        let rows = vec![
            row([
                rate(rates.received),
                kept,
                format!("{} dropped", rate(rates.dropped)),
                format!("{} delivered", rate(rates.published)),
                count(*dead_letters),
            ]),
            row([
                format!("{} refused", rate(rates.refused)),
                waits,
                format!("{} unmatched", rate(rates.unmatched)),
                format!("{} failed tries", rate(rates.failures)),
                String::new(),
            ]),
        ];
        lines.extend(table(
            &["ingress ─▶", "journal ─▶", "routes ─▶", "backends", "dead letters"],
            rows,
            width,
        ));
        if self.received.len() > 1 {
            lines.push(Line::raw(format!("in  {}", bars(self.received.iter()))));
            lines.push(Line::raw(format!("out {}", bars(self.published.iter()))));
        }
    }

    fn backend(&self, lane: &Lane, picture: &Picture) -> Vec<Cell> {
        let (health, word) = lane.health();
        let flows = picture.facts.rates.lanes.get(&lane.name).copied().unwrap_or_default();
        let latency = latency_of(picture, &lane.name);
        vec![
            left(lane.name.as_str()),
            left(word).style(style_of(health, self.coloured)),
            right(rate(flows.published)),
            right(latency.map_or_else(|| "-".into(), |latency| time(latency.p99))),
            right(lane.publish_ms.map_or_else(|| "-".into(), time)),
            right(count(lane.queued)),
            right(lane.waits_ms.map_or_else(|| "-".into(), |ms| time(ms as f64))),
            right(bytes(lane.overflow_bytes)),
        ]
    }

    fn backends(&self, picture: &Picture, width: u16, lines: &mut Vec<Line<'static>>) {
        for lane in &picture.facts.lanes {
            let (health, word) = lane.health();
            lines.push(Line::from(vec![
                Span::styled(format!("{} ", lane.name), Style::new().add_modifier(Modifier::BOLD)),
                Span::styled(word.to_owned(), style_of(health, self.coloured)),
                Span::raw(format!("  {}", lane.address)),
            ]));
            if let Some(error) = &lane.error {
                lines.extend(wrapped(error, width, 2).into_iter().map(|line| self.ill(format!("  {line}"))));
            }
            let flows = picture.facts.rates.lanes.get(&lane.name).copied().unwrap_or_default();
            let latency = latency_of(picture, &lane.name).map_or_else(String::new, |latency| {
                let Quantiles { p50, p95, p99 } = latency;
                format!(
                    ", confirmed within {} / {} / {} (50, 95, 99 of 100)",
                    time(p50),
                    time(p95),
                    time(p99)
                )
            });
            let takes =
                lane.publish_ms.map_or_else(String::new, |ms| format!(", a batch takes {}", time(ms)));
            let oldest =
                lane.waits_ms.map_or_else(String::new, |ms| format!(", the oldest for {}", time(ms as f64)));
            let figures = [
                format!("{} delivered, {} in all{latency}", rate(flows.published), count(lane.delivered)),
                format!(
                    "{} queued{oldest}, {} in overflow{takes}",
                    count(lane.queued),
                    bytes(lane.overflow_bytes)
                ),
                format!(
                    "breaker {}, {} failed tries, {} retries, {} given up",
                    lane.breaker(),
                    count(lane.failures),
                    count(lane.retries),
                    count(lane.dead)
                ),
            ];
            for text in figures.into_iter().chain(lane.consumers.iter().map(read_by)) {
                lines.extend(wrapped(&text, width, 2).into_iter().map(|line| Line::raw(format!("  {line}"))));
            }
            lines.push(Line::raw(""));
        }
    }

    fn routes(&self, picture: &Picture, width: u16, lines: &mut Vec<Line<'static>>) {
        let facts = &picture.facts;
        for name in &facts.routes {
            let each = facts.rates.routes.get(name).copied().unwrap_or_default();
            lines.push(Line::from(vec![
                Span::styled(name.clone(), Style::new().add_modifier(Modifier::BOLD)),
                Span::raw(format!("  {} match", rate(each))),
            ]));
            let rows: Vec<_> =
                facts.steps.iter().filter(|step| step.route == *name).map(|step| self.step(step)).collect();
            if !rows.is_empty() {
                lines.extend(table(
                    &[
                        "step",
                        "plugin",
                        "version",
                        "kept",
                        "dropped",
                        "failed",
                        "traps",
                        "memory",
                        "beside it",
                    ],
                    rows,
                    width,
                ));
            }
            lines.push(Line::raw(""));
        }
    }

    fn step(&self, step: &Step) -> Vec<Cell> {
        let failed = if step.failed > 0 { style_of(Health::Ill, self.coloured) } else { Style::new() };
        vec![
            right((step.index + 1).to_string()),
            left(step.plugin.as_str()),
            left(version(&step.digest)),
            right(count(step.kept)),
            right(count(step.dropped)),
            right(count(step.failed)).style(failed),
            right(count(step.traps)),
            right(step.memory.map_or_else(|| "-".into(), bytes)),
            left(beside(step)),
        ]
    }

    fn events(&self, picture: &Picture, width: u16, lines: &mut Vec<Line<'static>>) {
        let row = |event: &crate::cli::tail::Seen| {
            let (health, word) = event.outcome();
            vec![
                left(event.clock()),
                left(word).style(style_of(health, self.coloured)),
                left(event.id.as_str()),
                left(event.kind.as_str()),
                left(event.subject.clone().unwrap_or_else(|| "-".into())),
                left(event.why()),
            ]
        };
        lines.push(heading("The latest events, without their data"));
        lines.extend(table(
            &["time", "now", "id", "type", "subject", "why"],
            picture.events.iter().map(row).collect(),
            width,
        ));
    }
}

const BACKENDS: [&str; 8] = ["backend", "state", "rate", "p99", "batch", "queued", "oldest", "overflow"];

fn about(facts: &Facts) -> String {
    let up = time(facts.uptime_seconds as f64 * 1_000.0);
    let publishing = if facts.enabled { "" } else { " · accepts and drops" };
    format!("{} · up {up} · generation {}{publishing}", facts.version, facts.generation)
}

/// How far behind somebody is who reads from a backend.
fn read_by(consumer: &Consumer) -> String {
    let Consumer { name, lag, pending, error } = consumer;
    if let Some(error) = error {
        return format!("read by {name}: {error}");
    }
    let told = |number: &Option<u64>, what: &str| number.map(|number| format!("{} {what}", count(number)));
    let told: Vec<_> = told(lag, "behind").into_iter().chain(told(pending, "not acknowledged")).collect();
    format!("read by {name}: {}", if told.is_empty() { "not known".into() } else { told.join(", ") })
}

fn latency_of(picture: &Picture, backend: &str) -> Option<Quantiles> {
    picture.latency.iter().find(|(name, _)| name == backend).map(|(_, latency)| *latency)
}

fn verdicts(Step { kept, dropped, failed, .. }: &Step) -> String {
    let failed = if *failed > 0 { format!(", {} failed", count(*failed)) } else { String::new() };
    format!("{} kept, {} dropped{failed}", count(*kept), count(*dropped))
}

fn letters(picture: &Picture, width: u16, lines: &mut Vec<Line<'static>>) {
    let waiting = picture.facts.dead_letters;
    if waiting == 0 {
        return lines.push(Line::raw("No dead letter waits for you."));
    }
    lines.push(heading(&format!(
        "{} wait, the oldest first: stagewire dead-letters retry, drop, show",
        count(waiting)
    )));
    let row = |letter: &super::feed::Letter| {
        vec![
            right(letter.id.to_string()),
            left(letter.attribute("id")),
            left(letter.attribute("type")),
            left(letter.route.clone().unwrap_or_else(|| "-".into())),
            left(letter.failed_at()),
            right(count(letter.tries)),
            left(letter.reason.as_str()),
        ]
    };
    let columns = ["letter", "event", "type", "route", "failed at", "tries", "reason"];
    lines.extend(table(&columns, picture.letters.iter().map(row).collect(), width));
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    const STATUS: &str = r#"{
        "version": "0.1.0", "uptime_seconds": 7830, "enabled": true, "generation": 4, "dead_letters": 2,
        "problems": [
            {"severity": "error", "what": "backend away is down for 12 s; 3 events wait",
             "cause": "cannot reach 127.0.0.1:6379: Connection refused (os error 111)",
             "next": "see whether 127.0.0.1:6379 runs and can be reached; what waits is delivered in order when it is back"},
            {"severity": "warning", "what": "plugin type-filter drops every event", "cause": "type x is denied", "next": "see the settings"}],
        "rates": {"received": 1234.4, "refused": 0, "unmatched": 0, "dropped": 3.2, "published": 1200, "failures": 0.5,
                  "routes": {"greetings": 1234.4, "letters": 0}, "lanes": {"local": {"published": 1200}}},
        "routes": ["greetings", "letters"],
        "steps": [{"route": "greetings", "step": 0, "plugin": "redact", "digest": "sha256:0123456789abcdef", "kept": 12345,
                   "dropped": 0, "failed": 2, "traps": 4, "memory": 1179648, "replaced": 4,
                   "shadow": {"plugin": "redact-next", "compared": 100, "differed": 1}}],
        "journal": {"next": 12345, "unsettled": 3, "bytes": 1048576, "writable": {"Ok": null}},
        "lanes": [
            {"name": "local", "address": "local stream events", "state": "up", "breaker": "closed", "queued": 0,
             "overflow_bytes": 0, "publish_ms": 1.5, "delivered": 12345, "failures": 0, "retries": 0, "dead": 0,
             "consumers": [{"name": "billing", "lag": 1200, "pending": null, "error": null}]},
            {"name": "away", "address": "redis://127.0.0.1:6379/0", "state": "down", "breaker": "closed", "queued": 3,
             "overflow_bytes": 2048, "waits_ms": 12000, "error": "cannot reach 127.0.0.1:6379: Connection refused (os error 111)",
             "delivered": 0, "failures": 7, "retries": 5, "dead": 0}]}"#;

    const METRICS: &str = "stagewire_publish_latency_seconds_bucket{le=\"0.004\",backend=\"local\"} 99\nstagewire_publish_latency_seconds_bucket{le=\"0.008\",backend=\"local\"} 100\nstagewire_publish_latency_seconds_bucket{le=\"+Inf\",backend=\"local\"} 100\n";

    fn view() -> View {
        let mut view = View::new(false);
        view.take(Look { at_ms: 1_000, picture: Ok(Picture::of(STATUS, METRICS)) });
        view
    }

    fn drawn(view: &mut View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let text = terminal.backend().to_string();
        text.lines().map(|line| line.trim_matches('"').trim_end()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_overview_fits_80_columns_and_24_lines() {
        insta::assert_snapshot!(drawn(&mut view(), 80, 24), @r"
        stagewire live  0.1.0 · up 2 h 10 min · generation 4
        [1 Overview] 2 Routes  3 Backends  4 Dead letters  5 Events  6 Problems
        error    backend away is down for 12 s; 3 events wait
                 because: cannot reach 127.0.0.1:6379: Connection refused (os error 111)
                 next: see whether 127.0.0.1:6379 runs and can be reached; what waits is
                 delivered in order when it is back
        warning  plugin type-filter drops every event
                 because: type x is denied
                 next: see the settings

        ingress ─▶   journal ─▶   routes ─▶      backends            dead letters
        1,234/s      3 unsettled  3.2/s dropped  1,200/s delivered   2
        0/s refused  oldest 12 s  0/s unmatched  0.5/s failed tries

        backend  state     rate     p99   batch  queued  oldest  overflow
        local    up     1,200/s  4.0 ms  1.5 ms       0       -       0 B
        away     down       0/s       -       -       3    12 s  2.00 KiB

        route      matches  steps
        greetings  1,234/s  redact 12,345 kept, 0 dropped, 2 failed
        letters        0/s


        q end · Tab page · p pause · ? help
        ");
    }

    #[test]
    fn other_pages_show_more_of_the_same() {
        let mut view = view();
        view.turn(1);
        insta::assert_snapshot!(drawn(&mut view, 80, 12), @r"
        stagewire live  0.1.0 · up 2 h 10 min · generation 4
         1 Overview [2 Routes] 3 Backends  4 Dead letters  5 Events  6 Problems
        greetings  1,234/s match
        step  plugin  version        kept  dropped  failed  traps    memory  beside it
           1  redact  0123456789…  12,345        0       2      4  1.12 MiB  shadow red…

        letters  0/s match




        q end · Tab page · p pause · ? help
        ");
        view.turn(1);
        let text = drawn(&mut view, 80, 20);
        for told in [
            "read by billing: 1,200 behind",
            "confirmed within 2.0 ms / 3.8 ms / 4.0 ms",
            "3 queued, the oldest for 12 s, 2.00 KiB in overflow",
            "breaker closed, 7 failed tries, 5 retries, 0 given up",
        ] {
            assert!(text.contains(told), "{text}");
        }
        view.turn(1);
        assert!(drawn(&mut view, 80, 24).contains("2 wait, the oldest first"));
        view.turn(3);
        assert_eq!(view.page, Page::Overview);
        view.turn(-1);
        let text = drawn(&mut view, 80, 24);
        assert!(
            text.contains("because: type x is denied") && text.contains("next: see the settings"),
            "{text}"
        );
    }

    #[test]
    fn a_host_that_is_silent_leaves_what_was_seen() {
        let mut view = view();
        for at_ms in [2_000, 9_000] {
            view.take(Look {
                at_ms,
                picture: Err("no host answers at http://127.0.0.1:8081: refused".into()),
            });
        }
        let text = drawn(&mut view, 80, 24);
        assert!(text.starts_with("stagewire no answer for 7 s, asking again"), "{text}");
        assert!(text.contains("no host answers at") && text.contains("from the last answer"), "{text}");
        assert!(text.contains("backend away is down"), "{text}");
        view.take(Look { at_ms: 10_000, picture: Ok(Picture::of(STATUS, METRICS)) });
        assert!(drawn(&mut view, 80, 24).starts_with("stagewire live"));
    }

    #[test]
    fn no_size_makes_it_panic_and_what_is_beyond_can_be_reached() {
        let mut view = view();
        for (width, height) in [(1, 1), (5, 3), (20, 4), (80, 8), (300, 100)] {
            drawn(&mut view, width, height);
        }
        let text = drawn(&mut view, 80, 10);
        assert!(text.contains("down: more"), "{text}");
        view.scroll_by(1_000);
        let text = drawn(&mut view, 80, 10);
        assert!(text.contains("greetings") && !text.contains("down: more"), "{text}");
        view.help = true;
        assert!(drawn(&mut view, 80, 24).contains("Ctrl-C"));
    }

    #[test]
    fn colour_is_never_all_that_tells() {
        let plain = drawn(&mut view(), 80, 24);
        let mut coloured = View::new(true);
        coloured.take(Look { at_ms: 1_000, picture: Ok(Picture::of(STATUS, METRICS)) });
        assert_eq!(drawn(&mut coloured, 80, 24), plain);
    }
}
