"""Schema changes, in order; each runs once in a file, at start.

A new change is a new function at the end. One that has been released is never edited: files out there have it.
Counters and completions are kept by triggers, so that they are right whichever program writes.
"""

from collections.abc import Sequence

from sqlite_utils import Migrations
from sqlite_utils.db import Database

from app.database.sqlite_connections import NOW
from app.records import indexing, row_blocks

# Files of data know their migrations by this name: it stays whatever the app is called.
migrations = Migrations("kindling")


def search_changes_only(db: Database, table: str, searched: Sequence[str]) -> None:
    """Index the words of a row again only where its number or one of the `searched` columns has another value.

    The trigger of sqlite-utils does it at every change, which takes seconds where a text is large. Values are
    compared, as `UPDATE OF` does not see a change of `rowid`.
    """
    names, old, new = (", ".join(f'{row}"{name}"' for name in searched) for row in ("", "old.", "new."))
    changed = " OR ".join(f'old."{name}" IS NOT new."{name}"' for name in searched)
    db.execute(f"DROP TRIGGER {table}_au")
    db.execute(f"""
        CREATE TRIGGER {table}_au AFTER UPDATE ON {table} WHEN old.rowid <> new.rowid OR {changed} BEGIN
            INSERT INTO {table}_fts ({table}_fts, rowid, {names}) VALUES ('delete', old.rowid, {old});
            INSERT INTO {table}_fts (rowid, {names}) VALUES (new.rowid, {new});
        END
    """)


def keep_versions(db: Database, table: str) -> None:
    """Give a row another version when it is changed, replaced, or comes back; one that is new has none yet.

    Deleted and inserted: an INSERT OR REPLACE in a trigger does what the statement outside says, so IGNORE would win.
    """
    again = f"""
        DELETE FROM row_versions WHERE table_name = '{table}' AND id = new.id;
        INSERT INTO row_versions VALUES ('{table}', new.id, random());
    """
    gone = f"DELETE FROM row_versions WHERE table_name = '{table}' AND id = old.id"
    # SQLite does not count a number that an UPDATE has given.
    is_known = f"""
        new.id <= (SELECT seq FROM sqlite_sequence WHERE name = '{table}')
        OR EXISTS (SELECT 1 FROM row_versions WHERE table_name = '{table}' AND id = new.id)
    """
    db.execute(f"CREATE TRIGGER {table}_version_insert AFTER INSERT ON {table} WHEN {is_known} BEGIN {again} END")
    db.execute(f"CREATE TRIGGER {table}_version_update AFTER UPDATE ON {table} BEGIN {gone}; {again} END")
    db.execute(f"CREATE TRIGGER {table}_version_delete AFTER DELETE ON {table} BEGIN {gone}; END")


@migrations()
def create_tasks(db: Database) -> None:
    """Tasks, the order they are listed in, and the search over them."""
    db.execute(f"""
        CREATE TABLE tasks (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            title TEXT NOT NULL CHECK (trim(title) <> ''),
            notes TEXT NOT NULL DEFAULT '',
            due TEXT CHECK (due IS NULL OR due IS date(due, '+0 days')),
            done INTEGER NOT NULL DEFAULT 0 CHECK (done IN (0, 1)),
            created_at TEXT NOT NULL DEFAULT ({NOW}),
            updated_at TEXT NOT NULL DEFAULT ({NOW})
        )
    """)
    db.execute("CREATE INDEX tasks_by_done ON tasks (done)")
    db.execute("CREATE INDEX tasks_by_due ON tasks (due IS NULL, due)")
    db.execute("CREATE INDEX tasks_by_done_and_due ON tasks (done, due IS NULL, due)")
    db.execute("CREATE INDEX tasks_by_title ON tasks (title COLLATE NOCASE)")
    db.execute("CREATE INDEX tasks_by_done_and_title ON tasks (done, title COLLATE NOCASE)")
    db.table("tasks").enable_fts(["title", "notes"], create_triggers=True, tokenize="unicode61 remove_diacritics 2")


@migrations()
def count_tasks(db: Database) -> None:
    """How many tasks are open and done, without counting a million rows for each page."""
    db.execute("CREATE TABLE task_counts (done INTEGER PRIMARY KEY, tasks INTEGER NOT NULL)")
    db.execute("INSERT INTO task_counts SELECT 0, count(*) FROM tasks WHERE done = 0")
    db.execute("INSERT INTO task_counts SELECT 1, count(*) FROM tasks WHERE done = 1")
    db.execute("""
        CREATE TRIGGER task_counts_insert AFTER INSERT ON tasks BEGIN
            UPDATE task_counts SET tasks = tasks + 1 WHERE done = new.done;
        END
    """)
    db.execute("""
        CREATE TRIGGER task_counts_delete AFTER DELETE ON tasks BEGIN
            UPDATE task_counts SET tasks = tasks - 1 WHERE done = old.done;
        END
    """)
    db.execute("""
        CREATE TRIGGER task_counts_update AFTER UPDATE OF done ON tasks WHEN old.done <> new.done BEGIN
            UPDATE task_counts SET tasks = tasks - 1 WHERE done = old.done;
            UPDATE task_counts SET tasks = tasks + 1 WHERE done = new.done;
        END
    """)


@migrations()
def create_completions(db: Database) -> None:
    """When each done task was done, for the chart."""
    db.execute("CREATE TABLE completions (task_id INTEGER PRIMARY KEY, completed_at TEXT NOT NULL)")
    db.execute("CREATE INDEX completions_by_time ON completions (completed_at)")
    db.execute("INSERT INTO completions SELECT id, updated_at FROM tasks WHERE done = 1")
    db.execute("""
        CREATE TRIGGER completions_insert AFTER INSERT ON tasks WHEN new.done = 1 BEGIN
            INSERT OR REPLACE INTO completions VALUES (new.id, new.updated_at);
        END
    """)
    db.execute(f"""
        CREATE TRIGGER completions_update AFTER UPDATE OF done ON tasks WHEN old.done <> new.done BEGIN
            DELETE FROM completions WHERE task_id = new.id;
            INSERT INTO completions SELECT new.id, {NOW} WHERE new.done = 1;
        END
    """)
    db.execute("""
        CREATE TRIGGER completions_delete AFTER DELETE ON tasks BEGIN
            DELETE FROM completions WHERE task_id = old.id;
        END
    """)


@migrations()
def create_deletions(db: Database) -> None:
    """Deleted tasks, kept whole for a while so that a deletion can be undone."""
    db.execute(f"""
        CREATE TABLE deletions (
            id INTEGER PRIMARY KEY,
            title TEXT NOT NULL,
            notes TEXT NOT NULL,
            due TEXT,
            done INTEGER NOT NULL,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL,
            completed_at TEXT,
            deleted_at TEXT NOT NULL DEFAULT ({NOW})
        )
    """)


@migrations()
def create_imports(db: Database) -> None:
    """Imports and their progress, and which tasks each one made."""
    db.execute(f"""
        CREATE TABLE imports (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            filename TEXT NOT NULL,
            state TEXT NOT NULL,
            process INTEGER NOT NULL,
            columns TEXT NOT NULL DEFAULT '{{}}',
            understood TEXT NOT NULL DEFAULT '{{}}',
            problems TEXT NOT NULL DEFAULT '[]',
            problem_count INTEGER NOT NULL DEFAULT 0,
            error TEXT NOT NULL DEFAULT '',
            bytes_read INTEGER NOT NULL DEFAULT 0,
            bytes_total INTEGER NOT NULL DEFAULT 0,
            rows_done INTEGER NOT NULL DEFAULT 0,
            rows_total INTEGER NOT NULL DEFAULT 0,
            created_at TEXT NOT NULL DEFAULT ({NOW})
        )
    """)
    db.execute("""
        CREATE TABLE imported_tasks (
            import_id INTEGER NOT NULL,
            task_id INTEGER NOT NULL,
            PRIMARY KEY (import_id, task_id)
        ) WITHOUT ROWID
    """)


@migrations()
def create_sessions(db: Database) -> None:
    """Who is signed in from another machine: hashes only, so that the file opens no door."""
    db.execute(f"""
        CREATE TABLE sessions (
            cookie_hash TEXT PRIMARY KEY,
            token_hash TEXT NOT NULL,
            created_at TEXT NOT NULL DEFAULT ({NOW})
        ) WITHOUT ROWID
    """)


@migrations()
def create_presence(db: Database) -> None:
    """How many tabs each process serves that follow live."""
    db.execute("CREATE TABLE presence (process INTEGER PRIMARY KEY, tabs INTEGER NOT NULL)")


@migrations()
def import_any_kind(db: Database) -> None:
    """What each import brings, and which rows it has made, of whatever table."""
    if "kind" in db.table("imports").columns_dict:
        return  # As in the data of a project that had taken the tasks out, and has them again.
    db.execute("ALTER TABLE imports ADD COLUMN kind TEXT NOT NULL DEFAULT 'tasks'")
    db.execute("ALTER TABLE imported_tasks RENAME TO imported_rows")
    db.execute("ALTER TABLE imported_rows RENAME COLUMN task_id TO row_id")


@migrations()
def drop_sessions(db: Database) -> None:
    """Who is signed in stands in a file of its own (app/access/access_file.py), which no page follows."""
    db.execute("DROP TABLE IF EXISTS sessions")


@migrations()
def create_row_versions(db: Database) -> None:
    """The version of each row of a feature that was ever changed: a number drawn anew at each change of it.

    So no form puts its text over one that it has not seen, whichever program wrote that.
    """
    db.execute("""
        CREATE TABLE row_versions (
            table_name TEXT NOT NULL,
            id INTEGER NOT NULL,
            version INTEGER NOT NULL,
            PRIMARY KEY (table_name, id)
        ) WITHOUT ROWID
    """)


@migrations()
def keep_versions_of_tasks(db: Database) -> None:
    """A task gets another version when it is changed, replaced, or comes back; one that is new has none yet.

    Deleted and inserted: an INSERT OR REPLACE in a trigger does what the statement outside says, so IGNORE would win.
    """
    db.execute("""
        CREATE TRIGGER tasks_version_update AFTER UPDATE ON tasks BEGIN
            DELETE FROM row_versions WHERE table_name = 'tasks' AND id IN (old.id, new.id);
            INSERT INTO row_versions VALUES ('tasks', new.id, random());
        END
    """)
    db.execute("""
        CREATE TRIGGER tasks_version_insert AFTER INSERT ON tasks
        WHEN new.id <= (SELECT seq FROM sqlite_sequence WHERE name = 'tasks') BEGIN
            DELETE FROM row_versions WHERE table_name = 'tasks' AND id = new.id;
            INSERT INTO row_versions VALUES ('tasks', new.id, random());
        END
    """)
    db.execute("""
        CREATE TRIGGER tasks_version_delete AFTER DELETE ON tasks BEGIN
            DELETE FROM row_versions WHERE table_name = 'tasks' AND id = old.id;
        END
    """)


@migrations()
def queue_imports(db: Database) -> None:
    """Since when each import is in its state, which is its place in the queue, and how often it was taken up."""
    db.execute("ALTER TABLE imports ADD COLUMN moved_at TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE imports ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0")
    db.execute(f"UPDATE imports SET moved_at = {NOW}")


@migrations()
def know_what_imports_wrote(db: Database) -> None:
    """The version that each row had when its import had made it, 0 for none; how many have stayed at a taking back.

    What is not known of older imports counts as none, so what has one now stays.
    """
    db.execute("ALTER TABLE imported_rows ADD COLUMN version INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE imports ADD COLUMN rows_kept INTEGER NOT NULL DEFAULT 0")


@migrations()
def search_changes_of_tasks_only(db: Database) -> None:
    """A task whose words stay is not indexed again."""
    search_changes_only(db, "tasks", ["title", "notes"])


@migrations()
def count_replaced_tasks(db: Database) -> None:
    """Counts and completions stay right where a task is replaced (REPLACE), or gets another number.

    No delete trigger is fired for a row that is replaced, unless `recursive_triggers` is on. So the row that a
    statement may replace is noted before, and counted out after: IGNORE and UPSERT leave it where it is. What they
    have noted stands until it is noted again, or the row goes.
    """
    db.execute("CREATE TABLE replaced_tasks (id INTEGER PRIMARY KEY, done INTEGER NOT NULL)")
    for event, condition in (("INSERT", ""), ("UPDATE", "old.id <> new.id AND ")):
        db.execute(f"""
            CREATE TRIGGER replaced_tasks_before_{event.lower()} BEFORE {event} ON tasks
            WHEN {condition}EXISTS (SELECT 1 FROM tasks WHERE id = new.id) BEGIN
                DELETE FROM replaced_tasks WHERE id = new.id;
                INSERT INTO replaced_tasks SELECT id, done FROM tasks WHERE id = new.id;
            END
        """)
    db.execute("""
        CREATE TRIGGER replaced_tasks_insert AFTER INSERT ON tasks
        WHEN EXISTS (SELECT 1 FROM replaced_tasks WHERE id = new.id) BEGIN
            UPDATE task_counts SET tasks = tasks - 1 WHERE done = (SELECT done FROM replaced_tasks WHERE id = new.id);
            DELETE FROM replaced_tasks WHERE id = new.id;
        END
    """)
    db.execute("""
        CREATE TRIGGER replaced_tasks_update AFTER UPDATE ON tasks WHEN old.id <> new.id BEGIN
            UPDATE task_counts SET tasks = tasks - 1 WHERE done = (SELECT done FROM replaced_tasks WHERE id = new.id);
            DELETE FROM replaced_tasks WHERE id IN (old.id, new.id);
        END
    """)
    db.execute("""
        CREATE TRIGGER replaced_tasks_delete AFTER DELETE ON tasks
        WHEN EXISTS (SELECT 1 FROM replaced_tasks WHERE id = old.id) BEGIN
            DELETE FROM replaced_tasks WHERE id = old.id;
        END
    """)
    db.execute("DROP TRIGGER completions_insert")
    db.execute("""
        CREATE TRIGGER completions_insert AFTER INSERT ON tasks
        WHEN new.done = 1 OR EXISTS (SELECT 1 FROM completions WHERE task_id = new.id) BEGIN
            DELETE FROM completions WHERE task_id = new.id;
            INSERT INTO completions SELECT new.id, new.updated_at WHERE new.done = 1;
        END
    """)
    db.execute("DROP TRIGGER completions_update")
    db.execute(f"""
        CREATE TRIGGER completions_update AFTER UPDATE ON tasks WHEN old.done <> new.done OR old.id <> new.id BEGIN
            DELETE FROM completions WHERE task_id = new.id AND (old.id <> new.id OR old.done = 0);
            INSERT INTO completions
                SELECT new.id, coalesce((SELECT completed_at FROM completions WHERE task_id = old.id), {NOW})
                WHERE new.done = 1;
            DELETE FROM completions WHERE task_id = old.id AND (old.id <> new.id OR new.done = 0);
        END
    """)
    for event in ("insert", "update", "delete"):
        db.execute(f"DROP TRIGGER tasks_version_{event}")
    keep_versions(db, "tasks")
    # What was replaced before is counted anew.
    db.execute("UPDATE task_counts SET tasks = (SELECT count(*) FROM tasks WHERE tasks.done = task_counts.done)")
    db.execute("DELETE FROM completions WHERE task_id NOT IN (SELECT id FROM tasks WHERE done = 1)")
    db.execute("""
        INSERT INTO completions
            SELECT id, updated_at FROM tasks WHERE done = 1 AND id NOT IN (SELECT task_id FROM completions)
    """)


@migrations()
def note_unindexed_rows(db: Database) -> None:
    """Which rows of which feature have other words than the search and the order by name know of."""
    indexing.create_unindexed(db)


@migrations()
def index_tasks(db: Database) -> None:
    """The search finds words of every script, and the order by title is that of the Unicode collation."""
    for trigger in ("tasks_ai", "tasks_ad", "tasks_au"):
        db.execute(f"DROP TRIGGER {trigger}")
    db.execute("DROP TABLE tasks_fts")
    db.execute("DROP INDEX tasks_by_title")
    db.execute("DROP INDEX tasks_by_done_and_title")
    indexing.keep_index(db, "tasks", "title", ["title", "notes"])


@migrations()
def know_rows_that_are_there(db: Database) -> None:
    """What an import knows of the rows that are in the data already, as JSON; what each row was that it has changed."""
    db.execute("ALTER TABLE imports ADD COLUMN known TEXT NOT NULL DEFAULT '{}'")
    db.execute("ALTER TABLE imported_rows ADD COLUMN before TEXT")


@migrations()
def choose_how_a_file_is_read(db: Database) -> None:
    """What a person has said of how the file of an import is to be read: a JSON object."""
    db.execute("ALTER TABLE imports ADD COLUMN choices TEXT NOT NULL DEFAULT '{}'")


@migrations()
def note_changed_blocks(db: Database) -> None:
    """Which blocks of rows of which feature have changed, so that what is counted of the others stays."""
    row_blocks.create(db)


@migrations()
def note_changed_blocks_of_tasks(db: Database) -> None:
    """A deep page of the tasks is found without going through those before it."""
    row_blocks.keep(db, "tasks")
