"""Reading what other programs export: from the bytes of a file to rows of a kind of ours. Nothing here writes anything.

From the outside in: `rows` is the process that reads, `formats` finds out what a file is (`text`, `lines`, `csv_rows`,
`json_lists`, `headers` below it), `columns` and `values` what its columns mean (`dates`, `todoist` beside them).
Which texts are dates says `date_forms`; how they are meant, all rows of the file together say in `date_order`. What a
person says of all this is in `choices`.
"""
