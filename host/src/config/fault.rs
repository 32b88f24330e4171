//! What is wrong with settings: file, line, and what to write instead.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, Severity, SourceCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::secrets;
use super::tree::{Node, Place, Value};
use super::watch::WatchedFile;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    place: Place,
    also: Option<Place>,
    message: String,
    help: Option<String>,
    severity: Severity,
}

impl Fault {
    pub(super) fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, also: None, message: message.into(), help: None, severity: Severity::Error }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// It does not keep the settings from coming into force.
    pub(super) fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Another place that it is about, of this file or of another.
    pub(super) fn also(mut self, place: Place) -> Self {
        self.also = Some(place);
        self
    }

    fn say(&mut self, change: impl Fn(&str) -> String) {
        self.message = change(&self.message);
        self.help = self.help.as_deref().map(change);
    }
}

/// A fault as scripts get it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Reported {
    /// Where it is; absent where that is not one place in a file.
    #[serde(flatten)]
    pub place: Option<Spot>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// Another place that it is about.
    pub also: Option<Spot>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Spot {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
}

impl Reported {
    /// One that is not of one place in a file.
    pub fn of(message: String) -> Self {
        Self { place: None, message, help: None, also: None }
    }
}

/// A file that was read.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: Arc<str>,
}

/// Everything that is wrong, with the files it is wrong in.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub(super) all: Vec<Fault>,
    pub(super) sources: Vec<Source>,
    /// Every file and directory that was looked at: a change of one may mend it.
    pub files: Vec<WatchedFile>,
}

impl Faults {
    /// Whether there is nothing wrong.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Faults one by one, each with its lines.
    fn reports(&self) -> impl Iterator<Item = Report<'_>> {
        let sources = &self.sources;
        let lines = move |place: &Place| Lines { place: place.clone(), source: sources.get(place.file) };
        self.all.iter().map(move |fault| {
            let also = fault.also.as_ref().map(lines);
            let (beside, elsewhere) = match also {
                Some(also) if also.place.file == fault.place.file => (Some(also), None),
                also => (None, also),
            };
            Report { fault, here: lines(&fault.place), beside, elsewhere }
        })
    }

    /// Takes the secrets out of what is said: those that the tree holds where the fault is, whatever they are, and all
    /// others that are known.
    pub(super) fn keep_secrets(&mut self, tree: &Node) {
        let mut found = Vec::new();
        tree.secrets(&mut Vec::new(), &mut found);
        for fault in &mut self.all {
            let place = fault.place.clone();
            for (_, node) in found.iter().filter(|(_, node)| node.place == place) {
                let Value::Scalar { text, shown: Some(shown), .. } = &node.value else { continue };
                let quoted = serde_json::Value::from(text.as_str()).to_string();
                let (quoted, typed) = (&quoted[1..quoted.len() - 1], node.to_json().to_string());
                fault.say(|said| said.replace(quoted, shown).replace(text, shown).replace(&typed, shown));
            }
            fault.say(|said| secrets::hide(said).into_owned());
        }
    }

    /// Each fault as one line: `file:line:column: message (and file:line:column); what to write`.
    pub fn to_strings(&self) -> Vec<String> {
        self.reports()
            .map(|report| {
                let also = report.also().map(|also| format!(" (and {also})")).unwrap_or_default();
                let help = report.fault.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
                format!("{}: {}{also}{help}", report.here, report.fault.message)
            })
            .collect()
    }

    /// The faults for scripts.
    pub fn reported(&self) -> Vec<Reported> {
        let one = |report: Report<'_>| {
            let Fault { message, help, .. } = report.fault;
            Reported {
                place: Some(report.here.spot()),
                message: message.clone(),
                help: help.clone(),
                also: report.also().map(Lines::spot),
            }
        };
        self.reports().map(one).collect()
    }

    /// The faults for people, in colour or not.
    pub fn render(&self, colour: bool) -> String {
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(100).with_links(false);
        let mut text = String::new();
        for report in self.reports() {
            // Writing to a string cannot fail.
            let _ = handler.render_report(&mut text, &report);
        }
        text.truncate(text.trim_end().len());
        text
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_strings().join("\n"))
    }
}

/// A stretch of a file. As miette wants it, it is the other place of a fault.
struct Lines<'a> {
    place: Place,
    source: Option<&'a Source>,
}

impl Lines<'_> {
    fn path(&self) -> String {
        self.source.map(|source| source.path.display().to_string()).unwrap_or_default()
    }

    /// Line and column, from 1.
    fn position(&self) -> (usize, usize) {
        let text = self.source.map_or("", |source| &source.text);
        let before = text.get(..self.place.bytes.start.min(text.len())).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        (line, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1)
    }

    fn spot(&self) -> Spot {
        let (line, column) = self.position();
        Spot { file: self.path(), line, column }
    }

    fn label(&self, text: &str) -> LabeledSpan {
        LabeledSpan::new(Some(text.into()), self.place.bytes.start, self.place.bytes.len())
    }

    fn code(&self) -> Option<&dyn SourceCode> {
        self.source.map(|source| source as &dyn SourceCode)
    }
}

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.position();
        write!(f, "{}:{line}:{column}", self.path())
    }
}

impl fmt::Debug for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Lines<'_> {}

impl Diagnostic for Lines<'_> {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(self.label("and here"))))
    }
}

/// One fault beside its source, as miette wants it.
struct Report<'a> {
    fault: &'a Fault,
    here: Lines<'a>,
    /// Another place in the same file.
    beside: Option<Lines<'a>>,
    /// Another place in another file.
    elsewhere: Option<Lines<'a>>,
}

impl Report<'_> {
    fn also(&self) -> Option<&Lines<'_>> {
        self.beside.as_ref().or(self.elsewhere.as_ref())
    }
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fault.message)
    }
}

impl std::error::Error for Report<'_> {}

impl Diagnostic for Report<'_> {
    fn severity(&self) -> Option<Severity> {
        Some(self.fault.severity)
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.fault.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.here.code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let beside = self.beside.as_ref().map(|beside| beside.label("and here"));
        Some(Box::new(std::iter::once(self.here.label("here")).chain(beside)))
    }

    fn related<'b>(&'b self) -> Option<Box<dyn Iterator<Item = &'b dyn Diagnostic> + 'b>> {
        let elsewhere = self.elsewhere.as_ref()?;
        Some(Box::new(std::iter::once(elsewhere as &dyn Diagnostic)))
    }
}

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &miette::SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        let name = self.path.display().to_string();
        let contents = self.text.as_ref().read_span(span, before, after)?;
        let (line, column, lines) = (contents.line(), contents.column(), contents.line_count());
        let (data, span) = (contents.data(), *contents.span());
        Ok(Box::new(miette::MietteSpanContents::new_named(name, data, span, line, column, lines)))
    }
}
