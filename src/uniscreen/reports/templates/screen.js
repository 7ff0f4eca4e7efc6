(async () => {
  const DataTable = await importDataTable();
  if (document.getElementById("top")) openTable(DataTable, "#top", 25);
  document.body.dataset.ready = "true";
})();
