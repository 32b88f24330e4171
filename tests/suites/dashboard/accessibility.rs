//! Whether a page can be used by people who see little, use a keyboard, or listen.

use serde_json::Value;
use stagewire_tests::browser::key;
use stagewire_tests::{Browser, places};

/// Rules that axe-core has not; they look at the page as it is laid out.
const RULES: &str = include_str!("accessibility.js");

/// Everything that axe-core finds against WCAG 2.2, A and AA, or against good practice, and what it leaves to be looked at, but for
/// the contrast of text over pictures, which is a rule of ours.
const JUDGED: &str = "
const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const { violations, incomplete, passes } = await axe.run(document, { runOnly: { type: 'tag', values: tags } });
const doubtful = incomplete.filter(({ id }) => id !== 'color-contrast');
const tell = ({ id, impact, nodes }) => nodes.map(({ target, html, failureSummary, any }) =>
    `${id} (${impact}) at ${target.join(' ')}: ${html.slice(0, 140)}: ${failureSummary || any.map(({ message }) => message).join()}`);
return { faults: [...violations, ...doubtful].flatMap(tell), passes: passes.map(({ id }) => id) };";

/// What the focus is on: its place among all elements, its words, and whether it can be seen.
const FOCUSED: &str = "const one = document.activeElement;
if (one === document.body || !one) return null;
const style = getComputedStyle(one);
return { place: [...document.querySelectorAll('*')].indexOf(one), words: one.outerHTML.slice(0, 120),
         seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0 };";

/// Everything that a keyboard should reach.
const REACHABLE: &str = "return [...document.querySelectorAll('a[href], button:not(:disabled), input, select, textarea, summary, pre[tabindex=\"0\"]')]
    .filter((one) => one.checkVisibility({ visibilityProperty: true })).length";

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

/// Fails with every fault at once.
pub(super) async fn check(browser: &Browser, page: &str) {
    let Judgement { mut faults, passes } = judged(browser).await;
    assert!(passes.iter().any(|rule| rule == "color-contrast"), "{page}: {passes:?}");
    let own = browser.script(RULES, &[]).await;
    faults.extend(serde_json::from_value::<Vec<String>>(own).expect("a list of sentences"));
    let nameless = |(role, name): &(String, String)| NAMED.contains(&role.as_str()) && name.is_empty();
    let told = browser.accessible().await;
    assert!(told.len() > 20, "{page}: {told:?}");
    faults.extend(told.into_iter().filter(nameless).map(|(role, _)| format!("a {role} has no name")));
    assert!(faults.is_empty(), "{page}:\n{}", faults.join("\n"));
}

/// Goes through the page by the tab key: every control is reached once, in the order of the page, visibly, and at the end
/// the focus leaves.
pub(super) async fn is_walked_by_keyboard(browser: &Browser, page: &str) {
    let reachable = browser.script(REACHABLE, &[]).await.as_u64().expect("a number");
    browser.script(TO_THE_TOP, &[]).await;
    let mut places: Vec<u64> = Vec::new();
    loop {
        browser.key(key::TAB).await;
        let focused = browser.script(FOCUSED, &[]).await;
        let Some(place) = focused["place"].as_u64() else { break };
        // Where a browser has nothing but the page the focus begins again.
        if places.first() == Some(&place) {
            break;
        }
        assert_eq!(focused["seen"], true, "{page}: the focus is not seen on {}", focused["words"]);
        assert!(places.last() < Some(&place), "{page}: out of order: {}", focused["words"]);
        places.push(place);
        assert!(places.len() as u64 <= reachable, "{page}: more than {reachable} stops");
    }
    assert_eq!(places.len() as u64, reachable, "{page}: a keyboard does not reach everything");
}

/// What the focus is on, by its accessible words.
pub(super) async fn focused(browser: &Browser) -> String {
    let words = "return document.activeElement.ariaLabel ?? document.activeElement.innerText";
    match browser.script(words, &[]).await {
        Value::String(words) => words.trim().to_owned(),
        _ => String::new(),
    }
}
