"""Reading what other programs export: from the bytes of a file to rows of a kind of ours. Nothing here writes anything.

From the outside in: `rows` is the process that reads, `formats` finds out what a file is (`text`, `lines`, `csv_rows`,
`json_lists` below it), `columns` and `values` what its columns mean (`dates`, `todoist` beside them).
"""
