// The chosen theme, before anything is drawn. Without a choice the system's holds.
{
  let chosen = null;
  try {
    chosen = localStorage.getItem("capsule.theme");
  } catch {
    // Storage can be switched off; then the system's theme holds.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
