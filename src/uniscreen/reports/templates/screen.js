(async () => {
  const bytes = Uint8Array.from(atob(document.getElementById("datatables-module").textContent), (c) => c.charCodeAt(0));
  const address = URL.createObjectURL(new Blob([bytes], { type: "text/javascript" }));
  const { default: DataTable } = await import(address);
  URL.revokeObjectURL(address);
  const open = [];
  if (document.getElementById("top")) {
    open.push(
      new DataTable("#top", {
        order: [],
        pageLength: 25,
        lengthMenu: [10, 25, 50, { label: "all", value: -1 }],
        autoWidth: false,
        columnControl: [
          { target: 0, content: ["order"] },
          { target: 1, content: ["search"] },
        ],
        ordering: { indicators: false },
      }),
    );
  }
  window.addEventListener("beforeprint", () => {
    for (const table of open) table.page.len(-1).draw(false);
  });
  document.body.dataset.ready = "true";
})();
