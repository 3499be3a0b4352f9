(function () {
  "use strict";
  var report = JSON.parse(document.getElementById("report").textContent);
  var times = report.curves.milliseconds, last = times[times.length - 1] || 1;
  document.querySelectorAll("figure[data-of]").forEach(function (figure) {
    var of = figure.dataset.of, plot = figure.querySelector("svg.plot"), tip = figure.querySelector(".tip");
    var labels = figure.querySelectorAll("text.time"), range = [0, last], from = null;
    function show(next) {
      range = next;
      plot.setAttribute("viewBox", range[0] / last * 1000 + " 0 " + Math.max(1, (range[1] - range[0]) / last * 1000) + " 100");
      labels[0].textContent = Math.round(range[0] / 1000) + " s";
      labels[1].textContent = Math.round(range[1] / 1000) + " s";
    }
    function at(event) {
      var box = plot.getBoundingClientRect();
      var share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      return range[0] + share * (range[1] - range[0]);
    }
    plot.addEventListener("mousemove", function (event) {
      var time = at(event), place = 0;
      while (place + 1 < times.length && times[place + 1] <= time) { place += 1; }
      var lines = [Math.round(times[place] / 1000) + " s"];
      report.curves.nodes.slice(0, 30).forEach(function (node) {
        var value = node[of][place];
        lines.push(node.node + "  " + (value === null ? "?" : value));
      });
      tip.textContent = lines.join("\n");
      tip.style.display = "block";
    });
    plot.addEventListener("mouseleave", function () { tip.style.display = "none"; });
    plot.addEventListener("mousedown", function (event) { from = at(event); event.preventDefault(); });
    plot.addEventListener("mouseup", function (event) {
      var to = at(event);
      if (from !== null && Math.abs(to - from) > (range[1] - range[0]) / 50) {
        show([Math.min(from, to), Math.max(from, to)]);
      }
      from = null;
    });
    plot.addEventListener("dblclick", function () { show([0, last]); });
  });
  document.documentElement.dataset.ready = "yes";
})();
