"""The HTML report of results: `html.render` and `html.write_report`."""
