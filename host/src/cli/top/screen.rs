//! The terminal: taken over, drawn on, and given back however it ends.

use std::time::Duration;

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::feed::{Feed, Look};
use super::pages::{Page, View};
use crate::cli::{Failure, Outcome, paint};

/// Lines that a page key scrolls.
const LEAF: i16 = 10;

/// What is to be asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Wanted {
    page: Page,
    paused: bool,
    /// Goes up where somebody asks now.
    now: u32,
}

/// Gives the terminal back. A panic gives it back by itself, before its message.
struct Taken;

impl Drop for Taken {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Shows the host until somebody ends it.
pub(super) async fn run(feed: Feed, interval: Duration) -> Outcome {
    let (mut terminate, mut hang_up) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let mut terminal = ratatui::try_init()
        .map_err(|error| Failure::Failed(format!("cannot take the terminal over: {error}")))?;
    let _taken = Taken;
    let mut view = View::new(paint::is_wanted());
    let mut wanted = Wanted { page: view.page, paused: false, now: 0 };
    let (wants, asked) = watch::channel(wanted);
    let (to_us, mut looks) = mpsc::channel(1);
    let _asking = AbortOnDropHandle::new(tokio::spawn(ask(feed, interval, asked, to_us)));
    let mut keys = EventStream::new();
    loop {
        terminal.draw(|frame| view.draw(frame))?;
        tokio::select! {
            look = looks.recv() => match look {
                Some(look) => view.take(look),
                None => return Ok(()),
            },
            key = keys.next() => match key {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                    if press(key, &mut view, &mut wanted) {
                        return Ok(());
                    }
                }
                // Another size, for one: drawn anew.
                Some(Ok(_)) => {}
                // The terminal has gone away.
                Some(Err(_)) | None => return Ok(()),
            },
            _ = terminate.recv() => return Ok(()),
            _ = hang_up.recv() => return Ok(()),
        }
        wanted = Wanted { page: view.page, paused: view.paused, ..wanted };
        wants.send_if_modified(|before| {
            let modified = *before != wanted;
            *before = wanted;
            modified
        });
    }
}

/// Looks at the host at each interval, and at once where something else is wanted.
async fn ask(
    mut feed: Feed,
    interval: Duration,
    mut wanted: watch::Receiver<Wanted>,
    to: mpsc::Sender<Look>,
) {
    loop {
        let Wanted { page, paused, .. } = *wanted.borrow_and_update();
        if !paused && to.send(feed.look(page).await).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// Does what a key stands for. Whether that is the end.
fn press(key: KeyEvent, view: &mut View, wanted: &mut Wanted) -> bool {
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
        KeyCode::Esc if view.help => view.help = false,
        KeyCode::Char('q') | KeyCode::Esc => return true,
        KeyCode::Char('p') => view.paused = !view.paused,
        KeyCode::Char('r') => wanted.now = wanted.now.wrapping_add(1),
        KeyCode::Char('?') => view.help = !view.help,
        KeyCode::Tab | KeyCode::Right => view.turn(1),
        KeyCode::BackTab | KeyCode::Left => view.turn(-1),
        KeyCode::Char(digit @ '1'..='6') => view.go("123456".find(digit).unwrap_or_default()),
        KeyCode::Up | KeyCode::Char('k') => view.scroll_by(-1),
        KeyCode::Down | KeyCode::Char('j') => view.scroll_by(1),
        KeyCode::PageUp => view.scroll_by(-LEAF),
        KeyCode::PageDown => view.scroll_by(LEAF),
        KeyCode::Home => view.scroll = 0,
        _ => {}
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_what_the_help_says() {
        let (mut view, mut wanted) =
            (View::new(false), Wanted { page: Page::Overview, paused: false, now: 0 });
        let mut press = |code, modifiers| {
            let end = press(KeyEvent::new(code, modifiers), &mut view, &mut wanted);
            (end, view.page, view.paused, view.help)
        };
        let none = KeyModifiers::NONE;
        assert_eq!(press(KeyCode::Tab, none), (false, Page::Routes, false, false));
        assert_eq!(press(KeyCode::Char('4'), none), (false, Page::Letters, false, false));
        assert_eq!(press(KeyCode::Char('p'), none), (false, Page::Letters, true, false));
        assert_eq!(press(KeyCode::Char('?'), none), (false, Page::Letters, true, true));
        assert_eq!(press(KeyCode::Esc, none), (false, Page::Letters, true, false));
        assert!(press(KeyCode::Esc, none).0 && press(KeyCode::Char('q'), none).0);
        assert!(press(KeyCode::Char('c'), KeyModifiers::CONTROL).0 && !press(KeyCode::Char('c'), none).0);
        assert_eq!(wanted.now, 0);
    }
}
