//! What is wrong with settings: file, line, and what to write instead.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::tree::Place;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    place: Place,
    also: Option<Place>,
    message: String,
    help: Option<String>,
}

impl Fault {
    pub(super) fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, also: None, message: message.into(), help: None }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn also(mut self, place: Place) -> Self {
        self.also = Some(place);
        self
    }
}

/// A fault as scripts get it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Reported {
    /// The file; absent where the fault is not of one place.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The column, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Reported {
    fn at(place: Option<(String, usize, usize)>) -> Self {
        let (file, line, column) = match place {
            Some((file, line, column)) => (Some(file), Some(line), Some(column)),
            None => (None, None, None),
        };
        Self { file, line, column, message: String::new(), help: None }
    }

    /// One that is not of one place in a file.
    pub fn of(message: String) -> Self {
        Self { message, ..Self::at(None) }
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
    pub(super) faults: Vec<Fault>,
    pub(super) sources: Vec<Source>,
}

impl Faults {
    /// Faults one by one, each with its lines.
    fn reports(&self) -> impl Iterator<Item = Report<'_>> {
        self.faults.iter().map(|fault| Report { fault, source: self.sources.get(fault.place.file) })
    }

    /// Each fault as one line: `file:line:column: message; what to write`.
    pub fn to_strings(&self) -> Vec<String> {
        self.reports()
            .map(|report| {
                let (line, column) = report.position();
                let help = report.fault.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
                format!("{}:{line}:{column}: {}{help}", report.path(), report.fault.message)
            })
            .collect()
    }

    /// The faults for scripts.
    pub fn reported(&self) -> Vec<Reported> {
        let one = |report: Report<'_>| {
            let (line, column) = report.position();
            let Fault { message, help, .. } = report.fault;
            let place = Some((report.path(), line, column));
            Reported { message: message.clone(), help: help.clone(), ..Reported::at(place) }
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

/// One fault beside its source, as miette wants it.
struct Report<'a> {
    fault: &'a Fault,
    source: Option<&'a Source>,
}

impl Report<'_> {
    fn path(&self) -> String {
        self.source.map(|source| source.path.display().to_string()).unwrap_or_default()
    }

    /// Line and column, from 1.
    fn position(&self) -> (usize, usize) {
        let text = self.source.map_or("", |source| &source.text);
        let before = text.get(..self.fault.place.bytes.start.min(text.len())).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        (line, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1)
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
    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.fault.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let here =
            LabeledSpan::new(Some("here".into()), self.fault.place.bytes.start, self.fault.place.bytes.len());
        let also = self
            .fault
            .also
            .as_ref()
            .map(|place| LabeledSpan::new(Some("and here".into()), place.bytes.start, place.bytes.len()));
        Some(Box::new(std::iter::once(here).chain(also)))
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
