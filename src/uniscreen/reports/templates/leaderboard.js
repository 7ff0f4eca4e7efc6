const PAGE = 25;

(async () => {
  const DataTable = await importDataTable();
  for (const table of document.querySelectorAll("table.sortable")) {
    if (table.tBodies[0].rows.length > PAGE) openTable(DataTable, table, PAGE);
    else openSmallTable(DataTable, table);
  }
  document.body.dataset.ready = "true";
})();
