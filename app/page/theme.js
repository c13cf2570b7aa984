// Light, dark, or as the system has it; kept across visits.

const KEY = "duetto-theme";

export function startTheme(onChange) {
  let chosen = "";
  try { chosen = localStorage.getItem(KEY) || ""; } catch { /* then it lasts as long as the page */ }
  const apply = () => {
    if (chosen) document.documentElement.dataset.theme = chosen;
    else delete document.documentElement.dataset.theme;
  };
  apply();
  for (const input of document.querySelectorAll("#theme input")) {
    input.checked = input.value === chosen;
    input.addEventListener("change", () => {
      chosen = input.value;
      try { localStorage.setItem(KEY, chosen); } catch { /* as above */ }
      apply();
      onChange();
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
}
