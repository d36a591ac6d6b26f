------------------------------ MODULE TakeOver ------------------------------
(* Owners of one lane, one after the other, and Kafka's transactions. Each would publish the same
   window: its change and the position behind it. Earlier owners may be asleep and wake at any time,
   with a transaction open. Exactly one publication may become visible.

   A record stands for what an owner delivered to the lane's partition. The last stable offset is
   the first record of a transaction that is open. *)
EXTENDS Integers, Sequences, FiniteSets

CONSTANTS
    Owners,
    StableOffsets,  \* rule 8: a new owner waits while an open transaction has named the lane
    HighWatermark,  \* rule 8: it reads as far as the partition goes, not to the last stable offset
    NamesLanes,     \* rule 8: send_offsets_to_transaction names the lane that has records
    FlushesFirst    \* rule 8: it runs when all records are delivered

VARIABLES
    generation,  \* of the consumer group: the number of the newest owner
    log,         \* the partition: owners, by what they delivered
    phase,       \* away, joined, fetched, reading, open, over
    isSent, isDelivered, \* offsets were accepted, records were delivered
    end,         \* up to where the owner reads
    fate         \* of its transaction: none, open, committed, aborted

vars == <<generation, log, phase, isSent, isDelivered, end, fate>>

All == 1..Owners

Init ==
    /\ generation = 0 /\ log = <<>>
    /\ phase = [o \in All |-> "away"]
    /\ isSent = [o \in All |-> FALSE]
    /\ isDelivered = [o \in All |-> FALSE]
    /\ end = [o \in All |-> 0]
    /\ fate = [o \in All |-> "none"]

Stable ==
    LET open == {n \in DOMAIN log : fate[log[n]] = "open"}
    IN IF open = {} THEN Len(log) ELSE (CHOOSE n \in open : \A m \in open : n <= m) - 1

Join(o) ==
    /\ phase[o] = "away" /\ generation = o - 1
    /\ generation' = o
    /\ phase' = [phase EXCEPT ![o] = "joined"]
    /\ UNCHANGED <<log, isSent, isDelivered, end, fate>>

Fetch(o) ==
    /\ phase[o] = "joined"
    /\ StableOffsets => \A other \in All \ {o} : ~(fate[other] = "open" /\ isSent[other])
    /\ phase' = [phase EXCEPT ![o] = "fetched"]
    /\ UNCHANGED <<generation, log, isSent, isDelivered, end, fate>>

TakeEnd(o) ==
    /\ phase[o] = "fetched"
    /\ end' = [end EXCEPT ![o] = IF HighWatermark THEN Len(log) ELSE Stable]
    /\ phase' = [phase EXCEPT ![o] = "reading"]
    /\ UNCHANGED <<generation, log, isSent, isDelivered, fate>>

\* It has read committed records to the end: either the window is published, or it publishes it.
Restore(o) ==
    /\ phase[o] = "reading" /\ Stable >= end[o]
    /\ IF \E n \in 1..Stable : fate[log[n]] = "committed"
       THEN phase' = [phase EXCEPT ![o] = "over"] /\ fate' = fate
       ELSE phase' = [phase EXCEPT ![o] = "open"] /\ fate' = [fate EXCEPT ![o] = "open"]
    /\ UNCHANGED <<generation, log, isSent, isDelivered, end>>

Deliver(o) ==
    /\ phase[o] = "open" /\ ~isDelivered[o]
    /\ log' = Append(log, o)
    /\ isDelivered' = [isDelivered EXCEPT ![o] = TRUE]
    /\ UNCHANGED <<generation, phase, isSent, end, fate>>

\* The broker checks the group's generation here, and nowhere else.
SendOffsets(o) ==
    /\ phase[o] = "open" /\ NamesLanes /\ ~isSent[o]
    /\ FlushesFirst => isDelivered[o]
    /\ IF generation = o
       THEN isSent' = [isSent EXCEPT ![o] = TRUE] /\ UNCHANGED <<phase, fate>>
       ELSE /\ phase' = [phase EXCEPT ![o] = "over"]
            /\ fate' = [fate EXCEPT ![o] = "aborted"]
            /\ UNCHANGED isSent
    /\ UNCHANGED <<generation, log, isDelivered, end>>

Commit(o) ==
    /\ phase[o] = "open" /\ isDelivered[o] /\ (NamesLanes => isSent[o])
    /\ phase' = [phase EXCEPT ![o] = "over"]
    /\ fate' = [fate EXCEPT ![o] = "committed"]
    /\ UNCHANGED <<generation, log, isSent, isDelivered, end>>

\* The transaction of one that died is aborted by its timeout. The last owner lives.
Die(o) ==
    /\ o < Owners /\ phase[o] \notin {"away", "over"}
    /\ phase' = [phase EXCEPT ![o] = "over"]
    /\ fate' = [fate EXCEPT ![o] = IF @ = "open" THEN "aborted" ELSE @]
    /\ UNCHANGED <<generation, log, isSent, isDelivered, end>>

AtRest == \A o \in All : phase[o] = "over"

Rest == AtRest /\ UNCHANGED vars

Next ==
    \/ \E o \in All : \/ Join(o) \/ Fetch(o) \/ TakeEnd(o) \/ Restore(o) \/ Deliver(o)
                      \/ SendOffsets(o) \/ Commit(o) \/ Die(o)
    \/ Rest

Spec == Init /\ [][Next]_vars

Committed == {o \in All : fate[o] = "committed"}
NoDuplicate == Cardinality(Committed) <= 1
NoLoss == AtRest => Cardinality(Committed) = 1
\* An owner that another has followed and restored behind publishes nothing any more.
Fenced == \A o \in All : (phase[o] = "open" /\ isSent[o]) =>
            \A later \in All : later > o => phase[later] \in {"away", "joined", "over"}
                                            \/ fate[later] = "aborted"
=============================================================================
