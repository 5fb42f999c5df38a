"""What the tests of reading read: tasks, a field of each manner, with some of the names that other programs have."""

from app.records.kinds import Field, Kind

KIND = Kind(
    table="tasks",
    deletions="deleted_tasks",
    noun="task",
    plural="tasks",
    rest="notes",
    fields=(
        Field(
            "title",
            "Title",
            "title",
            "name task taskname subject summary content headline description",
            required=True,
        ),
        Field("notes", "Notes", "text", "note description desc body content", default=""),
        Field("due", "Due", "day", "duedate deadline date"),
        Field(
            "done",
            "Done",
            "done",
            "isdone completed iscompleted duecomplete completedtime datecompleted status state closed closedat",
            default=0,
        ),
    ),
)
COLUMNS = KIND.columns
