async function importDataTable() {
  const bytes = Uint8Array.from(atob(document.getElementById("datatables-module").textContent), (c) => c.charCodeAt(0));
  const address = URL.createObjectURL(new Blob([bytes], { type: "text/javascript" }));
  const { default: DataTable } = await import(address);
  URL.revokeObjectURL(address);
  return DataTable;
}

function openTable(DataTable, table, pageLength) {
  const opened = new DataTable(table, {
    order: [],
    pageLength,
    lengthMenu: [10, 25, 50, { label: "all", value: -1 }],
    autoWidth: false,
    columnControl: [
      { target: 0, content: ["order"] },
      { target: 1, content: ["search"] },
    ],
    ordering: { indicators: false },
  });
  window.addEventListener("beforeprint", () => opened.page.len(-1).draw(false));
}

function openSmallTable(DataTable, table) {
  new DataTable(table, {
    order: [],
    autoWidth: false,
    paging: false,
    searching: false,
    info: false,
    columnControl: [{ target: 0, content: ["order"] }],
    ordering: { indicators: false },
  });
}
