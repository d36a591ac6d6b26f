-------------------------------- MODULE Sink --------------------------------
(* One Kafka partition and two sinks that both believe that it is theirs. A batch is one PostgreSQL
   transaction: compare the saved offset with where the batch began, set it, apply the records. What
   may leave an empty row needs a refresh, which is asked for in Kafka. A sink may die, or find its
   connection lost in the commit, at any time. *)
EXTENDS Integers, Sequences, FiniteSets

CONSTANTS
    Records, Crashes,
    ComparesOffsets, \* the offsets' statement is a compare-and-set
    OneTransaction,  \* rows and offsets are one transaction
    AsksFirst,       \* rule 10: a request is acknowledged before the commit that needs it
    SkipsLate        \* rule 13: a late change is not applied

VARIABLES
    kind,          \* of each record: a change, a late change, one that empties its row
    saved, applied, \* PostgreSQL: the offset, and the records that were applied, in order
    shown,         \* the time of what the row shows
    asked,         \* Kafka: records for which a refresh was asked
    state, from, to, crashes \* of each sink

vars == <<kind, saved, applied, shown, asked, state, from, to, crashes>>

Sinks == {1, 2}
All == 1..Records

Init ==
    /\ kind \in [All -> {"change", "late", "empty"}]
    /\ saved = 0 /\ applied = <<>> /\ shown = 0 /\ asked = {}
    /\ state = [s \in Sinks |-> "idle"]
    /\ from = [s \in Sinks |-> 0] /\ to = [s \in Sinks |-> 0]
    /\ crashes = Crashes

\* A sink reads on from the saved offset, and takes some records.
Take(s, upTo) ==
    /\ state[s] = "idle" /\ upTo > saved
    /\ from' = [from EXCEPT ![s] = saved]
    /\ to' = [to EXCEPT ![s] = upTo]
    /\ state' = [state EXCEPT ![s] = "taken"]
    /\ UNCHANGED <<kind, saved, applied, shown, asked, crashes>>

Emptied(s) == {n \in (from[s] + 1)..to[s] : kind[n] = "empty"}

Ask(s) ==
    /\ state[s] = (IF AsksFirst THEN "taken" ELSE "committed")
    /\ asked' = asked \cup Emptied(s)
    /\ state' = [state EXCEPT ![s] = IF AsksFirst THEN "asked" ELSE "idle"]
    /\ UNCHANGED <<kind, saved, applied, shown, from, to, crashes>>

\* A record's time is its number; a late one's is before all.
RECURSIVE Shown(_, _, _)
Shown(before, n, upTo) ==
    IF n > upTo THEN before
    ELSE Shown(IF kind[n] # "late" THEN n ELSE IF SkipsLate THEN before ELSE 0, n + 1, upTo)

ApplyBatch(s) ==
    /\ applied' = applied \o [n \in 1..(to[s] - from[s]) |-> from[s] + n]
    /\ shown' = Shown(shown, from[s] + 1, to[s])

Ready(s) == state[s] = (IF AsksFirst THEN "asked" ELSE "taken")
Behind(s) == IF AsksFirst THEN "idle" ELSE "committed"

Commit(s) ==
    /\ OneTransaction /\ Ready(s)
    /\ ComparesOffsets => saved = from[s]
    /\ saved' = to[s]
    /\ ApplyBatch(s)
    /\ state' = [state EXCEPT ![s] = Behind(s)]
    /\ UNCHANGED <<kind, asked, from, to, crashes>>

\* Another sink has moved the offset: roll back, and read it again.
Lose(s) ==
    /\ OneTransaction /\ Ready(s) /\ ComparesOffsets /\ saved # from[s]
    /\ state' = [state EXCEPT ![s] = "idle"]
    /\ UNCHANGED <<kind, saved, applied, shown, asked, from, to, crashes>>

CommitRows(s) ==
    /\ ~OneTransaction /\ Ready(s) /\ saved = from[s]
    /\ ApplyBatch(s)
    /\ state' = [state EXCEPT ![s] = "rows"]
    /\ UNCHANGED <<kind, saved, asked, from, to, crashes>>

CommitOffsets(s) ==
    /\ state[s] = "rows"
    /\ saved' = to[s]
    /\ state' = [state EXCEPT ![s] = Behind(s)]
    /\ UNCHANGED <<kind, applied, shown, asked, from, to, crashes>>

\* It dies, or the answer to its commit is lost: it begins again with what is saved.
Crash(s) ==
    /\ crashes > 0 /\ state[s] # "idle"
    /\ crashes' = crashes - 1
    /\ state' = [state EXCEPT ![s] = "idle"]
    /\ UNCHANGED <<kind, saved, applied, shown, asked, from, to>>

AtRest == saved = Records /\ \A s \in Sinks : state[s] = "idle"

Rest == AtRest /\ UNCHANGED vars

Next ==
    \/ \E s \in Sinks : \/ \E upTo \in All : Take(s, upTo)
                        \/ Ask(s) \/ Commit(s) \/ Lose(s)
                        \/ CommitRows(s) \/ CommitOffsets(s) \/ Crash(s)
    \/ Rest

Spec == Init /\ [][Next]_vars

InOrderOnce == \A n \in 1..Len(applied) : applied[n] = n
NoLoss == AtRest => Len(applied) >= Records
EmptiedAreAsked ==
    (\A s \in Sinks : state[s] # "committed") =>
        \A n \in 1..Len(applied) : kind[applied[n]] = "empty" => applied[n] \in asked
NeverBack == (\E n \in 1..Len(applied) : kind[applied[n]] # "late") => shown > 0
=============================================================================
