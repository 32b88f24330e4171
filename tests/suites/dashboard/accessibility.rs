//! Whether a page can be used by people who see little, use a keyboard, or listen.

use std::time::Instant;

use serde_json::{Value, json};
use stagewire_tests::browser::key;
use stagewire_tests::waiting::PATIENCE;
use stagewire_tests::{Browser, places};

/// Rules that axe-core has not; they look at the page as it is laid out.
const RULES: &str = include_str!("accessibility.js");

/// Everything that axe-core finds against WCAG 2.2, A and AA, or against good practice, and what it leaves to be looked at, but for
/// the contrast of text over pictures, which is a rule of ours.
const JUDGED: &str = "
const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
let judgement;
try {
    judgement = await axe.run(document, { runOnly: { type: 'tag', values: tags } });
} catch (error) {
    return { faults: [`axe-core did not come to its end: ${error}`], passes: [] };
}
const { violations, incomplete, passes } = judgement;
const doubtful = incomplete.filter(({ id }) => id !== 'color-contrast');
const tell = ({ id, impact, nodes }) => nodes.map(({ target, html, failureSummary, any }) =>
    `${id} (${impact}) at ${target.join(' ')}: ${html.slice(0, 140)}: ${failureSummary || any.map(({ message }) => message).join()}`);
return { faults: [...violations, ...doubtful].flatMap(tell), passes: passes.map(({ id }) => id) };";

/// Everything that a keyboard should reach, in the order of the page.
const REACHABLE: &str = "
const controls = 'a[href], button:not(:disabled), input, select, textarea, summary, pre[tabindex=\"0\"]';
const reachable = () => [...document.querySelectorAll(controls)]
    .filter((one) => one.checkVisibility({ visibilityProperty: true }));";

/// From now on it is noted whether the page changes by itself in a way that matters.
const WATCH: &str = "
const watch = (matters) => {
    window.watching?.disconnect();
    window.moved = false;
    window.watching = new MutationObserver((changes) => { window.moved ||= changes.some(matters); });
    const all = { childList: true, subtree: true, attributes: true, characterData: true };
    window.watching.observe(document.documentElement, all);
};";

/// Everything matters.
const ALL: &str = "watch(() => true);";

/// Controls that come and go do.
const CONTROLS: &str = "
const touches = (node) => node.nodeType === Node.ELEMENT_NODE && (node.matches(controls) || node.querySelector(controls));
watch(({ addedNodes, removedNodes }) => [...addedNodes, ...removedNodes].some(touches));";

/// Whether nothing did, and as many controls are there as were.
const UNMOVED: &str = "return !window.moved && reachable().length === arguments[0]";

/// What the focus is on: its place among all of them (-1: none of them), its words, and whether it can be seen.
const FOCUSED: &str = "const one = document.activeElement;
if (one === document.body || !one) return null;
const style = getComputedStyle(one);
return { place: reachable().indexOf(one), words: one.outerHTML.slice(0, 120),
         seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0 };";

/// The next stop is the first of the page.
const TO_THE_TOP: &str =
    "document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')";

/// Roles that are useless without a name.
const NAMED: [&str; 10] = [
    "button",
    "link",
    "textbox",
    "combobox",
    "checkbox",
    "image",
    "dialog",
    "table",
    "navigation",
    "heading",
];

/// What axe-core finds, and the rules that it has looked into.
#[derive(serde::Deserialize)]
pub(super) struct Judgement {
    pub(super) faults: Vec<String>,
    passes: Vec<String>,
}

/// Has the page judged by axe-core.
pub(super) async fn judged(browser: &Browser) -> Judgement {
    if browser.script("return typeof axe === 'undefined'", &[]).await == true {
        let axe = std::fs::read_to_string(places::axe()).expect("axe-core can be read");
        browser.script(&axe, &[]).await;
    }
    let judgement = browser.script(&format!("return (async () => {{ {JUDGED} }})()"), &[]).await;
    serde_json::from_value(judgement).expect("a judgement")
}

/// Fails with what is wrong with a page at rest. What was found while the page changed by itself, in a way that matters, may be of
/// neither state: then once more. `look` is told how many controls there are.
async fn at_rest(
    browser: &Browser,
    page: &str,
    matters: &str,
    mut look: impl AsyncFnMut(i64) -> Result<(), String>,
) {
    let begin = Instant::now();
    loop {
        let watched = format!("{REACHABLE} {WATCH} {matters} return reachable().length");
        let count = browser.script(&watched, &[]).await.as_i64().expect("a number");
        let Err(fault) = look(count).await else { return };
        let unmoved = browser.script(&format!("{REACHABLE} {UNMOVED}"), &[json!(count)]).await == true;
        assert!(!unmoved, "{page}: {fault}");
        assert!(begin.elapsed() < PATIENCE, "{page}, never at rest: {fault}");
    }
}

/// Fails with every fault at once.
pub(super) async fn check(browser: &Browser, page: &str) {
    let look = async |_| {
        let faults = all_faults(browser).await;
        if faults.is_empty() { Ok(()) } else { Err(format!("\n{}", faults.join("\n"))) }
    };
    at_rest(browser, page, ALL, look).await;
}

async fn all_faults(browser: &Browser) -> Vec<String> {
    let Judgement { mut faults, passes } = judged(browser).await;
    if !passes.iter().any(|rule| rule == "color-contrast") {
        faults.push(format!("the contrast was not looked at, but {passes:?}"));
    }
    let own = browser.script(RULES, &[]).await;
    faults.extend(serde_json::from_value::<Vec<String>>(own).expect("a list of sentences"));
    let nameless = |(role, name): &(String, String)| NAMED.contains(&role.as_str()) && name.is_empty();
    let told = browser.accessible().await;
    if told.len() <= 20 {
        faults.push(format!("no more is told of than {told:?}"));
    }
    faults.extend(told.into_iter().filter(nameless).map(|(role, _)| format!("a {role} has no name")));
    faults
}

/// Goes through the page by the tab key: every control is reached once, in the order of the page, visibly, and at the end
/// the focus leaves.
pub(super) async fn is_walked_by_keyboard(browser: &Browser, page: &str) {
    at_rest(browser, page, CONTROLS, async |count| walk(browser, count).await).await;
}

/// From the top through so many controls.
async fn walk(browser: &Browser, count: i64) -> Result<(), String> {
    browser.script(TO_THE_TOP, &[]).await;
    for expected in 0..=count {
        browser.key(key::TAB).await;
        let focused = browser.script(&format!("{REACHABLE} {FOCUSED}"), &[]).await;
        // Where a browser has nothing but the page the focus begins again.
        let left = focused.is_null() || (expected > 0 && focused["place"] == 0);
        let words = &focused["words"];
        match (left, expected == count) {
            (true, true) => return Ok(()),
            (true, false) => return Err(format!("a keyboard reaches {expected} of {count}")),
            (false, true) => return Err(format!("after all {count} the focus is on {words}")),
            (false, false) if focused["place"] != expected => {
                return Err(format!("stop {expected} is out of order: {words}"));
            }
            (false, false) if focused["seen"] != true => {
                return Err(format!("the focus is not seen on {words}"));
            }
            (false, false) => {}
        }
    }
    Ok(())
}

/// What the focus is on, by its accessible words.
pub(super) async fn focused(browser: &Browser) -> String {
    let words = "return document.activeElement.ariaLabel ?? document.activeElement.innerText";
    match browser.script(words, &[]).await {
        Value::String(words) => words.trim().to_owned(),
        _ => String::new(),
    }
}
