// The server draws, and this puts what it has drawn into the page. Everything works without it, only less lively.
"use strict";

const RETRY_MILLISECONDS = 2000;
const shown = new Map(); // what each panel has now, by its id
let paused = false;
let latest = null;

function show(panels) {
  for (const [id, html] of Object.entries(panels)) {
    if (shown.get(id) === html) continue;
    shown.set(id, html);
    document.getElementById(id).innerHTML = html; // every name in it was escaped by the server
  }
}

function listen() {
  const stream = new EventSource(`events?span=${document.body.dataset.span}`);
  const lost = document.getElementById("lost");
  stream.onmessage = (message) => {
    lost.hidden = true;
    latest = JSON.parse(message.data);
    if (!paused) show(latest);
  };
  stream.onerror = () => {
    lost.hidden = false;
    stream.close(); // a browser does not try again by itself after every kind of failure
    setTimeout(listen, RETRY_MILLISECONDS);
  };
}

const pause = document.getElementById("pause");
pause.hidden = false;
pause.onclick = () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", paused);
  if (!paused && latest) show(latest);
};

const theme = document.getElementById("theme");
const root = document.documentElement;
function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
function setTheme(name) {
  if (name) root.dataset.theme = name;
  theme.textContent = isDark() ? "light" : "dark";
}
theme.hidden = false;
theme.onclick = () => {
  setTheme(isDark() ? "light" : "dark");
  localStorage.setItem("perflab-theme", root.dataset.theme);
};
setTheme(localStorage.getItem("perflab-theme"));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "p") pause.click();
  if (event.key === "d") theme.click();
  const spans = document.querySelectorAll("nav a");
  if (event.key >= "1" && event.key <= String(spans.length)) spans[event.key - 1].click();
});

listen();
