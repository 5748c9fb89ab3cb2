-- A store as the first version made it, with one finished run. Never edit: it stands for the stores that exist.
BEGIN TRANSACTION;
CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        identity TEXT,
        payload TEXT NOT NULL,
        time REAL NOT NULL
    );
INSERT INTO "events" VALUES(1,'20261122-041251-04d9','report',NULL,'{"seconds": 12.0}',3.0);
CREATE TABLE metrics (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        arm TEXT NOT NULL,
        name TEXT NOT NULL,
        step INTEGER NOT NULL,
        value REAL,
        UNIQUE (run_id, arm, name, step) ON CONFLICT REPLACE
    );
INSERT INTO "metrics" VALUES(1,'20261122-041251-04d9','student','loss',1,2.5);
CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL COLLATE NOCASE UNIQUE,
        status TEXT NOT NULL,
        config TEXT NOT NULL,
        config_hash TEXT NOT NULL,
        seed INTEGER NOT NULL,
        command TEXT NOT NULL,
        parents TEXT NOT NULL,
        versions TEXT NOT NULL,
        git_commit TEXT,
        created REAL NOT NULL,
        queued REAL NOT NULL,
        started REAL,
        finished REAL,
        deleted REAL,
        device TEXT,
        pid INTEGER,
        pid_started REAL,
        boot_id TEXT,
        heartbeat REAL,
        stop_requested REAL,
        phase TEXT,
        arm TEXT,
        step INTEGER NOT NULL DEFAULT 0,
        total_steps INTEGER,
        message TEXT,
        hint TEXT
    );
INSERT INTO "runs" VALUES('20261122-041251-04d9','old','finished','{"name": "old", "train": {"seed": 7, "device": "cpu"}}','537d4c97c489',42,'python -m workbench distill old.yaml','{}','{"stillhouse": "0.1.0", "python": "3.11.7"}','e48fa17a3ea2919299a414edddae1790249f6825',1795320771.5,1795320771.5,1795320771.5,1795320771.5,NULL,'cpu',NULL,NULL,NULL,1795320771.5,NULL,NULL,NULL,0,NULL,'','');
CREATE INDEX runs_by_status ON runs (status, queued);
CREATE INDEX events_by_run ON events (run_id, seq);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('metrics',1);
INSERT INTO "sqlite_sequence" VALUES('events',1);
COMMIT;
PRAGMA user_version = 1;
