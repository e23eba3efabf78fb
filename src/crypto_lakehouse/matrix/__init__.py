"""The availability matrix: what the publisher offers, and its known holes, as data.

The shipped files lie in `matrix/` at the top of the repository, and in this package once it is
installed.

1. `files` reads JSON strictly; `json_reader` converts it to attrs classes and reports every fault.
2. `load` chooses the reader by the file's format: `current_format`, or `older_formats`, whose rows
   (`older_rows`) are compared with the shipped matrix and corrected (`corrections`).
3. `model` is the result, which answers questions: is there such a series, since when, until when.
4. `known_holes` is a second file: days that the source is known to lack, each with its source.
5. `crawl` lists a source's folders to find today's symbols, `diff` compares two matrices, `writer`
   writes one.

A faulty file is refused as a whole: no row is skipped. The matrix states what is offered, and not
that every archive of it exists.
"""
