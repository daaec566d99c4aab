"""The page of a study; ``@STUDY@`` and ``@PICTURES@`` stand for its questions and pictures, as JSON.

Its policy forbids every request, so that nothing can leave it but the file of answers that the participant saves.
"""

# What files of answers say they are.
KIND = "user study answer sheet"

_STYLE = """
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1640px; padding: 1rem; font: 17px/1.5 system-ui, sans-serif; text-align: center;
  color: #eee; background: #3c3c3c; }
h1 { margin: .2rem 0 1rem; font-size: 1.4rem; }
[hidden] { display: none !important; }
#faces { display: flex; justify-content: center; gap: 1rem; }
figure { flex: 1 1 0; min-width: 0; max-width: 512px; margin: 0; }
img { display: block; width: 100%; }
#degraded { border: 2px solid transparent; }
figure button { width: 100%; padding: 0 0 .5rem; overflow: hidden; }
figure button span, figcaption { display: block; padding-top: .5rem; }
button { font: inherit; color: inherit; padding: .4rem 1.2rem; border: 2px solid #777; border-radius: 6px;
  background: #4a4a4a; cursor: pointer; }
button:hover { border-color: #bbb; }
button:focus-visible { outline: 3px solid #8cf; outline-offset: 2px; }
button:disabled { opacity: .4; cursor: default; }
kbd { padding: 0 .4em; border: 1px solid #999; border-radius: 4px; background: #333; font: inherit; }
progress { width: min(100%, 640px); accent-color: #8cf; }
footer { margin-top: 1.2rem; font-size: .9rem; }
.warning { color: #fc8; }
@media (max-width: 800px) {
  #faces { flex-wrap: wrap; }
  figure { flex-basis: 40%; }
  #degraded { order: -1; flex: 0 0 100%; max-width: 100%; }
  #degraded img { width: 50%; margin: auto; }
}
"""

_BODY = """
<noscript><p class="warning">This page needs JavaScript.</p></noscript>
<main id="start" hidden>
<h1>Which restored face is better?</h1>
<p>You will see <b id="count"></b> pairs of faces, each restored in two ways from the same photo.<br>
Choose the one that you find better, by clicking it or by the keys <kbd>←</kbd> and <kbd>→</kbd>. There is no wrong
answer.</p>
<p class="kept">You may close the page and go on later in the same browser.</p>
<p class="unkept warning">This browser keeps nothing of a page: answer all in one go, or save what you have.</p>
<p><button id="begin">Begin</button></p>
</main>
<main id="asking" hidden>
<h1>Which restored face is better?</h1>
<div id="faces">
<figure><button id="left"><img alt="restored face on the left"><span>Left <kbd>←</kbd></span></button></figure>
<figure id="degraded"><img alt="degraded input"><figcaption>the degraded input</figcaption></figure>
<figure><button id="right"><img alt="restored face on the right"><span>Right <kbd>→</kbd></span></button></figure>
</div>
<footer>
<p><label><span id="at" role="status"></span><br><progress id="progress" value="0"></progress></label></p>
<button id="back">Back <kbd>⌫</kbd></button> <button class="save">Save the answers so far</button>
</footer>
</main>
<main id="end" hidden>
<h1>Thank you: all is answered.</h1>
<p>Save your answers, and send the file to whoever gave you this page.</p>
<p><button class="save">Save the answers</button></p>
<footer><button id="again">Begin anew, for another participant</button></footer>
</main>
"""

_SCRIPT = """
"use strict";
const study = JSON.parse(document.getElementById("study").textContent);
const pictures = JSON.parse(document.getElementById("pictures").textContent);
const $ = id => document.getElementById(id);
const place = "restoreformer-study-" + study.token;

// Whole numbers below n, all equally likely.
function below(n) {
  const limit = 2 ** 32 - 2 ** 32 % n, drawn = new Uint32Array(1);
  do crypto.getRandomValues(drawn); while (drawn[0] >= limit);
  return drawn[0] % n;
}
// Questions in random order, the two pictures of each in random order.
function draw() {
  const drawn = [...study.questions];
  for (let i = drawn.length - 1; i > 0; i--) {
    const j = below(i + 1);
    [drawn[i], drawn[j]] = [drawn[j], drawn[i]];
  }
  return drawn.slice(0, study.asked).map(([a, b, degraded]) => below(2) ? [a, b, degraded] : [b, a, degraded]);
}
function participant() {
  return [...crypto.getRandomValues(new Uint8Array(8))].map(v => v.toString(16).padStart(2, "0")).join("");
}

let state = null;
function keep() {
  try {
    localStorage.setItem(place, JSON.stringify(state));
    return true;
  } catch { return false; }
}
function kept() {
  try { return JSON.parse(localStorage.getItem(place)); } catch { return null; }
}

function show() {
  const at = state ? state.chosen.length : 0, asked = state ? state.questions.length : study.asked;
  $("start").hidden = state !== null;
  $("asking").hidden = state === null || at === asked;
  $("end").hidden = state === null || at < asked;
  $("count").textContent = asked;
  if ($("asking").hidden) return;
  const [left, right, degraded] = state.questions[at];
  document.querySelector("#left img").src = pictures[left];
  document.querySelector("#right img").src = pictures[right];
  $("degraded").hidden = degraded === null;
  if (degraded !== null) document.querySelector("#degraded img").src = pictures[degraded];
  $("at").textContent = `Question ${at + 1} of ${asked}`;
  $("progress").max = asked;
  $("progress").value = at;
  $("back").disabled = at === 0;
  // No choice stays marked from the question before.
  document.activeElement?.blur();
}
function begin() {
  state = { participant: participant(), questions: draw(), chosen: [] };
  keep();
  show();
}
function choose(side) {
  state.chosen.push(side);
  keep();
  show();
}
function back() {
  state.chosen.pop();
  keep();
  show();
}
function save() {
  const answers = state.chosen.map((chosen, i) => {
    const [left, right] = state.questions[i];
    return { left, right, chosen };
  });
  const content = { kind: "@KIND@", study: study.token, participant: state.participant, asked: state.questions.length,
    answers };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1) + "\\n"], { type: "application/json" }));
  link.download = `answers_${study.token.slice(0, 6)}_${state.participant.slice(0, 8)}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
function again() {
  if (!confirm("The answers are removed from this browser. Is their file saved?")) return;
  try { localStorage.removeItem(place); } catch { /* nothing is kept */ }
  state = null;
  show();
}

$("begin").addEventListener("click", begin);
$("left").addEventListener("click", () => choose("left"));
$("right").addEventListener("click", () => choose("right"));
$("back").addEventListener("click", back);
$("again").addEventListener("click", again);
for (const button of document.querySelectorAll(".save")) button.addEventListener("click", save);
document.addEventListener("keydown", event => {
  // A key that is held down answers once.
  if ($("asking").hidden || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  const does = { ArrowLeft: () => choose("left"), ArrowRight: () => choose("right"), Backspace: back }[event.key];
  if (!does || (event.key === "Backspace" && $("back").disabled)) return;
  event.preventDefault();
  does();
});
state = kept();
const keeps = keep();
for (const line of document.querySelectorAll(".kept")) line.hidden = !keeps;
for (const line of document.querySelectorAll(".unkept")) line.hidden = keeps;
show();
""".replace("@KIND@", KIND)

PAGE = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Which restored face is better?</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
{_BODY}
<script type="application/json" id="study">@STUDY@</script>
<script type="application/json" id="pictures">@PICTURES@</script>
<script>{_SCRIPT}</script>
</body>
</html>
"""
