package chain

// Code is a stable, short name of something that a person must know of: for
// metrics, alerts and scripts. A code never changes its meaning; the texts
// beside it may.
type Code string

// Why this member gives no seal (GuardStatus.Code).
const (
	CodeGuardMissing      Code = "guard-missing"      // no guard file; healed by the others' seals
	CodeGuardUnreadable   Code = "guard-unreadable"   // the file is damaged or cannot be read
	CodeGuardOrigin       Code = "guard-origin"       // the file is of another chain
	CodeGuardUnwritable   Code = "guard-unwritable"   // the file cannot be written
	CodeGuardOld          Code = "guard-old"          // older than what the keys sealed; healed by the others' seals
	CodeLedgerShort       Code = "ledger-short"       // the ledger ends before what the keys sealed
	CodeLedgerContradicts Code = "ledger-contradicts" // the ledger is no extension of what the keys sealed
	CodeLedgerUnreadable  Code = "ledger-unreadable"  // the ledger cannot be read
	CodeClockBehind       Code = "clock-behind"       // this clock is behind block time
	CodeClockBack         Code = "clock-back"         // this clock is behind the last own seal
	CodeSealOlder         Code = "seal-older"         // a smaller size than the newest sealed one; no alarm
	CodeSignFailed        Code = "sign-failed"        // the seal keys do not sign
	CodeRestored          Code = "restored"           // a marked home that is not yet released; no votes either
	CodeOldCopy           Code = "old-copy"           // the consensus key voted what this home does not know; no votes either
)

// What an alarm is about (Alarm.Code).
const (
	CodeSplitView     Code = "split-view"     // a member sealed two different ledgers
	CodeDoubleBatch   Code = "double-batch"   // a node signed two headers for one sequence number
	CodeDoubleVote    Code = "double-vote"    // a validator voted twice in one round
	CodeKeysElsewhere Code = "keys-elsewhere" // this member's seal keys are in use elsewhere
	CodeGuardRemade   Code = "guard-remade"   // the guard was made again from the others' seals
	CodeReleased      Code = "released"       // a marked home votes and seals again
)

// GuardCodes and AlarmCodes list every code, for whoever labels by them.
var (
	GuardCodes = []Code{CodeGuardMissing, CodeGuardUnreadable, CodeGuardOrigin, CodeGuardUnwritable, CodeGuardOld,
		CodeLedgerShort, CodeLedgerContradicts, CodeLedgerUnreadable, CodeClockBehind, CodeClockBack, CodeSealOlder,
		CodeSignFailed, CodeRestored, CodeOldCopy}
	AlarmCodes = []Code{CodeSplitView, CodeDoubleBatch, CodeDoubleVote, CodeKeysElsewhere, CodeGuardOld, CodeGuardRemade,
		CodeOldCopy, CodeReleased}
)
