//! Text in columns, wrapped and coloured, as lines of a terminal.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use crate::cli::facts::Health;
use crate::cli::paint::one_line;

/// Between two columns.
const GAP: usize = 2;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One cell of a table.
pub(super) struct Cell {
    text: String,
    style: Style,
    right: bool,
}

/// Text to the left.
pub(super) fn left(text: impl Into<String>) -> Cell {
    Cell { text: text.into(), style: Style::new(), right: false }
}

/// A figure.
pub(super) fn right(text: impl Into<String>) -> Cell {
    Cell { right: true, ..left(text) }
}

impl Cell {
    pub(super) fn style(self, style: Style) -> Self {
        Self { style, ..self }
    }
}

/// How something is, as a colour beside its word.
pub(super) fn style_of(health: Health, coloured: bool) -> Style {
    let style = if health == Health::Ill { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
    if !coloured {
        return style;
    }
    style.fg(match health {
        Health::Well => Color::Green,
        Health::Doubtful => Color::Yellow,
        Health::Ill => Color::Red,
    })
}

pub(super) fn heading(text: &str) -> Line<'static> {
    Line::from(Span::styled(
        text.to_owned(),
        Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
    ))
}

/// A table whose columns are as wide as their contents; what is beyond `width` is cut in the last column.
pub(super) fn table(head: &[&str], rows: Vec<Vec<Cell>>, width: u16) -> Vec<Line<'static>> {
    let mut widths: Vec<usize> = head.iter().map(|name| columns(name)).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(columns(&cell.text));
        }
    }
    shrink(&mut widths, width.into());
    let rights: Vec<bool> =
        rows.first().map_or_else(Vec::new, |row| row.iter().map(|cell| cell.right).collect());
    let quiet = Style::new().add_modifier(Modifier::DIM);
    let names = head.iter().zip(rights.iter().chain(std::iter::repeat(&false)));
    let names =
        names.map(|(name, right)| Cell { text: (*name).to_owned(), style: quiet, right: *right }).collect();
    std::iter::once(names).chain(rows).map(|row| one(row, &widths)).collect()
}

fn one(row: Vec<Cell>, widths: &[usize]) -> Line<'static> {
    let last = row.len().saturating_sub(1);
    let spans = row.into_iter().zip(widths).enumerate().map(|(index, (cell, width))| {
        let text = cut(&cell.text, *width);
        let pad = " ".repeat(width.saturating_sub(columns(&text)));
        let gap = " ".repeat(if index == last { 0 } else { GAP });
        let text = match (cell.right, index == last) {
            (true, _) => format!("{pad}{text}{gap}"),
            (false, true) => text,
            (false, false) => format!("{text}{pad}{gap}"),
        };
        Span::styled(text, cell.style)
    });
    Line::from(spans.collect::<Vec<_>>())
}

/// Takes from the widest until all fit.
fn shrink(widths: &mut [usize], width: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > width {
        let Some(widest) = widths.iter_mut().max_by_key(|width| **width).filter(|widest| **widest > 4) else {
            return;
        };
        *widest -= 1;
    }
}

/// The text, or its beginning with a mark that there is more. A line of it.
pub(super) fn cut(text: &str, width: usize) -> String {
    let text = one_line(text.lines().next().unwrap_or_default());
    if columns(&text) <= width {
        return text;
    }
    let mut short = String::from("…");
    for (at, character) in text.char_indices() {
        let longer = format!("{}…", &text[..at + character.len_utf8()]);
        if columns(&longer) > width {
            break;
        }
        short = longer;
    }
    short
}

/// How wide text is as a whole: characters beside each other may be wider or narrower than each by itself.
fn columns(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text in lines of that width, those after the first with an indent; words longer than a line are cut.
pub(super) fn wrapped(text: &str, width: u16, indent: usize) -> Vec<String> {
    let room = usize::from(width).saturating_sub(indent).max(10);
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split_whitespace() {
        let word = cut(word, room);
        let longer = if line.is_empty() { word.clone() } else { format!("{line} {word}") };
        if columns(&longer) <= room {
            line = longer;
        } else {
            lines.push(std::mem::replace(&mut line, word));
        }
    }
    lines.push(line);
    lines
}

/// The last values as bars, the highest at the full height.
pub(super) fn bars<'a>(values: impl Iterator<Item = &'a f64> + Clone) -> String {
    let most = values.clone().fold(0.0_f64, |most, value| most.max(*value));
    let bar = |value: &f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 7")]
        let height = (value / most.max(f64::MIN_POSITIVE) * 7.0).round().clamp(0.0, 7.0) as usize;
        BARS[height]
    };
    values.map(bar).collect()
}

/// A line as text, with the colours of a terminal or without.
pub(super) fn to_text(line: &Line<'_>, coloured: bool) -> String {
    use owo_colors::OwoColorize as _;
    let text = |span: &Span<'_>| match span.style.fg {
        Some(Color::Red) if coloured => span.content.red().to_string(),
        Some(Color::Yellow) if coloured => span.content.yellow().to_string(),
        Some(Color::Green) if coloured => span.content.green().to_string(),
        _ => span.content.to_string(),
    };
    line.spans.iter().map(text).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_fit() {
        let rows = vec![
            vec![left("a"), right("1"), left("short")],
            vec![left("longer"), right("100"), left("x".repeat(50))],
        ];
        let text: Vec<_> =
            table(&["name", "n", "error"], rows, 24).iter().map(|line| to_text(line, false)).collect();
        assert_eq!(text, ["name      n  error", "a         1  short", "longer  100  xxxxxxxxxx…"]);
    }

    #[test]
    fn text_is_wrapped_at_words() {
        assert_eq!(wrapped("one two three four", 14, 2), ["one two", "three four"]);
        assert_eq!(bars([0.0, 5.0, 10.0].iter()), "▁▅█");
        // Beside each other they are wider than one by one.
        for line in wrapped("\u{a47} A᨞®!!🇦!צּa𖭣", 10, 0) {
            assert!(columns(&line) <= 10, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_it_may_be(text in "\\PC{0,60}", width in 1_u16..80) {
            prop_assert!(Span::raw(cut(&text, width.into())).width() <= usize::from(width).max(1));
            for line in wrapped(&text, width.max(10), 0) {
                prop_assert!(Span::raw(line.as_str()).width() <= usize::from(width.max(10)), "{line:?}");
            }
        }
    }
}
