// Before the first paint, so that no page flashes in the wrong colours.
(() => {
  const root = document.documentElement;
  const stored = () => {
    try {
      return localStorage.getItem("theme") || "";
    } catch {
      return "";
    }
  };
  const apply = (theme) => (theme ? (root.dataset.theme = theme) : delete root.dataset.theme);
  apply(stored());
  addEventListener("DOMContentLoaded", () => {
    const select = document.getElementById("theme");
    select.value = stored();
    select.addEventListener("change", () => {
      apply(select.value);
      try {
        localStorage.setItem("theme", select.value);
      } catch {
        // Without storage it holds until the page is closed.
      }
    });
  });
})();
