package fsck

// Code names a kind of finding; scripts may rely on it.
type Code string

// What can be wrong.
const (
	CodeMissing     Code = "missing"          // a file of the home is not there
	CodeGenesis     Code = "genesis"          // genesis.json
	CodePolicy      Code = "policy"           // policy.txt
	CodeCard        Code = "card"             // card.json
	CodeKey         Code = "key"              // a key file
	CodeGuard       Code = "guard"            // guard.json
	CodeWitness     Code = "witness"          // what this node cosigned of other logs
	CodeLastSigned  Code = "last-signed"      // the consensus key's last signature
	CodeStore       Code = "store"            // files of a goleveldb
	CodeEntry       Code = "ledger-entry"     // an entry of the ledger
	CodeNode        Code = "ledger-node"      // a stored node of its tree
	CodeRegister    Code = "ledger-register"  // what the store derives from the entries
	CodeAppHash     Code = "app-hash"         // the ledger and the blocks disagree
	CodeSeal        Code = "seal"             // a stored seal
	CodePin         Code = "pin"              // a root that the policy pins
	CodeBlock       Code = "block"            // a block or its commit
	CodeComet       Code = "comet"            // CometBFT's state, and how far each store is
	CodeWAL         Code = "wal"              // CometBFT's write-ahead log
	CodeBatchFile   Code = "batch-file"       // frames of a batch file
	CodeBatchName   Code = "batch-name"       // name, folder or number of a batch file
	CodeRecord      Code = "record"           // records and what stands beside them
	CodeStatement   Code = "statement"        // a statement, its signature or key
	CodeReceipt     Code = "receipt"          // a receipt's head
	CodeBroken      Code = "receipt-broken"   // a promise that was not kept
	CodeHeader      Code = "batch-header"     // header and footer of a batch
	CodeNotOnLedger Code = "batch-not-listed" // a closed batch that the ledger lacks
	CodeNoBatch     Code = "batch-missing"    // a batch of the ledger that the archive lacks
	CodeGap         Code = "gap"              // numbers without a batch
	CodeNoJournal   Code = "journal-missing"  // no open journal
	CodeLostList    Code = "lost-list"        // what a restored archive says that it has not
	CodeIndex       Code = "index"            // the index of the archive, which is derived
	CodeShort       Code = "journal-short"    // the index knows records that no file has
	CodeAnchor      Code = "anchor"           // the store of receipts from outside the consortium
	CodeAnchorRoots Code = "anchor-roots"     // what they are verified by
	CodeForeign     Code = "foreign-file"     // a file that has no place here
	CodeAudit       Code = "audit-log"        // the log of look-ups
	CodeFraud       Code = "fraud-proof"      // a kept fraud proof
)

// What is told without being wrong.
const (
	NoteTorn        Code = "torn-tail"        // the end of an unfinished write
	NoteGap         Code = "old-gap"          // a gap that the ledger shows to everybody
	NoteMoving      Code = "unfinished"       // a move that the next start completes
	NoteEmpty       Code = "empty"            // nothing there yet
	NoteRestored    Code = "restored"         // the home is marked as restored
	NoteLost        Code = "lost"             // a restored home has not all that the ledger has
	NoteNoLedger    Code = "no-ledger"        // a restored home, not started since
	NoteConflict    Code = "conflict"         // seals on another ledger are kept
	NoteFrauds      Code = "frauds"           // fraud proofs are kept
	NoteUnknown     Code = "unknown-file"     // a file that nobody reads
	NoteAdminGone   Code = "admin-elsewhere"  // the admin key is not here
	NoteNoWitness   Code = "no-witness"       // neither witness key nor its state
	NoteUnproved    Code = "anchors-unproved" // receipts of anchors that the anchor roots do not know
	NoteAnchorAlarm Code = "anchor-alarms"    // a witness has contradicted
	NoteNoIndex     Code = "no-index"         // the archive has no index, or an old one
	NoteNoWAL       Code = "no-wal"           // CometBFT's write-ahead log is not there
	NoteWALCut      Code = "wal-cut"          // CometBFT has cut its log and gone on
	NoteWALGoneOn   Code = "wal-gone-on"      // CometBFT has gone on behind a message that was cut
)

type words struct{ what, means, do [2]string } // Chinese, English

const (
	refetchZH = "停止节点，移走 data/chain（保留备查），再启动：节点会从其他成员取回总账与区块"
	refetchEN = "keep data/chain aside, leave it away and start: the node fetches ledger and blocks again from the others"
	backupZH  = "先完整备份此目录；从备份或镜像取回该文件原样放回，再运行 qifeng fsck；若没有，见 docs/operations.md"
	backupEN  = "copy the whole home first; put this file back from a backup or a mirror and run qifeng fsck again; without one see docs/operations.md"
)

var texts = map[Code]words{
	CodeMissing: {[2]string{"文件缺失", "a file is missing"},
		[2]string{"节点没有它无法启动，或其内容已丢失", "the node cannot start without it, or what it held is lost"}, [2]string{backupZH, backupEN}},
	CodeGenesis: {[2]string{"创世文件不对", "the genesis is not right"},
		[2]string{"它不是本链的创世，此目录中的任何内容都无从核对", "it is not this chain's, so nothing in this home can be judged by it"},
		[2]string{"从其他成员取得创世文件，核对链号与摘要后放回", "get the genesis from another member, compare chain id and digest, put it back"}},
	CodePolicy: {[2]string{"信任策略与创世不符", "the policy does not follow from the genesis"},
		[2]string{"会签会按错误的规则判断", "seals would be judged by a wrong rule"},
		[2]string{"移走 policy.txt，再用 qifeng genesis join 生成", "move policy.txt away and run qifeng genesis join"}},
	CodeCard: {[2]string{"成员卡与创世不符", "the card is not the one in the genesis"},
		[2]string{"此目录属于另一个成员或另一条链", "this home is of another member or another chain"}, [2]string{backupZH, backupEN}},
	CodeKey: {[2]string{"密钥文件不对", "a key file is not right"},
		[2]string{"节点会拒绝启动，或他人可能已读到私钥", "the node refuses to start, or others may have read the key"},
		[2]string{"按细节改正权限，或从离线备份放回该密钥", "set the mode as the detail says, or put the key back from the offline backup"}},
	CodeGuard: {[2]string{"防重签记录不对", "the guard is not right"},
		[2]string{"会签密钥签过的内容与本总账不符，或此目录是旧副本", "the seal keys have sealed what this ledger does not hold, or this home is an old copy"},
		[2]string{"不要从备份恢复它；见 docs/operations.md「Guard」", "never restore it from a backup; see docs/operations.md, Guard"}},
	CodeWitness: {[2]string{"见证状态文件不对", "the state of the witness is not right"},
		[2]string{"它为其他日志见证过什么已不可知；节点会拒绝启动", "what it has cosigned of other logs is not known; the node refuses to start"},
		[2]string{"不要从备份恢复它：用 qifeng key witness 生成新密钥，请各日志重新登记", "never restore it from a backup: make a new key with qifeng key witness, and have the logs register it"}},
	CodeLastSigned: {[2]string{"共识密钥的最后投票记录不对", "the record of the consensus key's last vote is not right"},
		[2]string{"密钥可能会在同一高度投两次票", "the key might vote twice at one height"},
		[2]string{"启动前先标记为已恢复：touch data/restored；见 docs/operations.md", "mark the home as restored before its start: touch data/restored; see docs/operations.md"}},
	CodeStore: {[2]string{"数据库文件损坏或缺失", "a file of the database is damaged or missing"},
		[2]string{"磁盘或他人改动了它", "the disk or somebody changed it"}, [2]string{refetchZH, refetchEN}},
	CodeEntry: {[2]string{"总账条目不对", "a ledger entry is not right"},
		[2]string{"本节点的总账副本被改动或缺失；其他成员的不受影响", "this node's copy of the ledger was changed or lacks something; those of the others are not affected"}, [2]string{refetchZH, refetchEN}},
	CodeNode: {[2]string{"总账树的存储节点与重新计算的不同", "a stored node of the ledger's tree is not the recomputed one"},
		[2]string{"由它给出的路径无法通过验证", "paths made from it do not verify"}, [2]string{refetchZH, refetchEN}},
	CodeRegister: {[2]string{"总账的登记数据与条目不符", "what the store derives from the entries is not what follows from them"},
		[2]string{"节点会按错误的密钥、序号或大小行事", "the node would act on wrong keys, numbers or sizes"}, [2]string{refetchZH, refetchEN}},
	CodeAppHash: {[2]string{"总账与区块不一致", "ledger and blocks disagree"},
		[2]string{"成员们共识的状态不是这里存的状态", "what the members agreed on is not what is stored here"}, [2]string{refetchZH, refetchEN}},
	CodeSeal: {[2]string{"存储的会签不对", "a stored seal is not right"},
		[2]string{"带有它的证明无法通过验证", "proofs with it do not verify"}, [2]string{refetchZH, refetchEN}},
	CodePin: {[2]string{"总账的根与信任策略所固定的不同", "the ledger's root is not the one that the policy pins"},
		[2]string{"这不是该策略所写的总账", "this is not the ledger that the policy was written for"},
		[2]string{"停用此节点，与其他成员核对总账", "take this node out of use and compare the ledger with the other members"}},
	CodeBlock: {[2]string{"区块或其签名不对", "a block or its commit is not right"},
		[2]string{"本节点的区块副本被改动或缺失", "this node's copy of the blocks was changed or lacks something"}, [2]string{refetchZH, refetchEN}},
	CodeComet: {[2]string{"CometBFT 的状态与总账不一致", "CometBFT's state and the ledger do not fit together"},
		[2]string{"其中一个丢失了已经写定的内容", "one of them lost what it had made durable"}, [2]string{refetchZH, refetchEN}},
	CodeWAL: {[2]string{"CometBFT 的预写日志损坏", "CometBFT's write-ahead log is damaged"},
		[2]string{"节点可能无法重放最后一个高度", "the node may be unable to replay its last height"}, [2]string{refetchZH, refetchEN}},
	CodeBatchFile: {[2]string{"批次文件损坏", "a batch file is damaged"},
		[2]string{"其中的记录可能无法再取得证明；已取得的证明文件不受影响", "its records may get no proof any more; proofs fetched before are not affected"}, [2]string{backupZH, backupEN}},
	CodeBatchName: {[2]string{"批次文件的名称、目录或序号不对", "name, folder or number of a batch file are not its own"},
		[2]string{"文件被改名、交换或来自别处", "files were renamed, swapped or brought from elsewhere"}, [2]string{backupZH, backupEN}},
	CodeRecord: {[2]string{"记录与其声明或批次不符", "a record is not what its statement or batch says"},
		[2]string{"记录或其旁边的数据被改动", "the record or what stands beside it was changed"}, [2]string{backupZH, backupEN}},
	CodeStatement: {[2]string{"提交声明不成立", "a statement does not hold"},
		[2]string{"提交者没有用当时登记的密钥签过这些提交", "the submitter did not sign these submissions with a key registered then"}, [2]string{backupZH, backupEN}},
	CodeReceipt: {[2]string{"受理回执不成立", "a receipt does not hold"},
		[2]string{"本节点没有就这些记录签发此回执，或其所引总账不是本总账", "this node did not give this receipt for these records, or it names another ledger"}, [2]string{backupZH, backupEN}},
	CodeBroken: {[2]string{"回执的承诺未兑现", "a receipt's promise was not kept"},
		[2]string{"截止时间之后会签的检查点里没有这个批次；回执持有人可据此证明违约", "a checkpoint sealed after the deadline lacks this batch; whoever holds the receipt can prove it"},
		[2]string{"启动节点使批次上链，并告知提交者", "start the node so that the batch gets on the chain, and tell the submitters"}},
	CodeHeader: {[2]string{"批次头或尾部与记录不符", "header or footer of a batch are not those of its records"},
		[2]string{"该批次的证明无法通过验证", "proofs from this batch do not verify"}, [2]string{backupZH, backupEN}},
	CodeNotOnLedger: {[2]string{"已归档的批次不在总账上", "an archived batch is not on the ledger"},
		[2]string{"本地总账落后，或该文件不属于本链本节点", "the ledger here is behind, or the file is not of this chain and node"},
		[2]string{"先让总账追上（启动节点），停止后再运行 qifeng fsck", "let the ledger catch up (start the node), stop it, run qifeng fsck again"}},
	CodeNoBatch: {[2]string{"总账上的批次没有文件", "a batch on the ledger has no file"},
		[2]string{"其记录在本节点已丢失", "its records are lost on this node"}, [2]string{backupZH, backupEN}},
	CodeGap: {[2]string{"批次序号有缺口", "numbers without a batch"},
		[2]string{"这些批次的文件已丢失；可能曾就其中的记录给出回执", "the files of these batches are gone; receipts may have been given for records in them"}, [2]string{backupZH, backupEN}},
	CodeNoJournal: {[2]string{"没有打开的日志文件", "there is no open journal"},
		[2]string{"它已丢失；可能曾就其中的记录给出回执", "it is gone; receipts may have been given for records in it"}, [2]string{backupZH, backupEN}},
	CodeLostList: {[2]string{"丢失批次的清单损坏", "the list of lost batches is damaged"},
		[2]string{"恢复时丢失了哪些批次，此处无从得知", "what was lost when this home was restored cannot be told from it"},
		[2]string{"停止节点，标记 touch data/archive/RESTORED 后启动：清单会从总账重新写出", "stop the node, touch data/archive/RESTORED, move the list away and start: it is made again from the ledger"}},
	CodeIndex: {[2]string{"存档的索引不对", "the index of the archive is not right"},
		[2]string{"记录本身完好，但可能查不到，或被当作新的再次受理；索引由批次推导，可以重建", "the records are not affected; some may not be found, or be taken in a second time; the index is derived from the batches and can be made again"},
		[2]string{"停止节点，移走 data/archive/index，再启动：节点会由批次重建它", "stop the node, move data/archive/index away and start: the node makes it again from the batches"}},
	CodeShort: {[2]string{"索引知道的记录不在任何文件中", "the index knows records that are in no file"},
		[2]string{"日志文件失去了已经写定的内容；可能曾就其中的记录给出回执，节点会拒绝启动", "the journal has lost what was durable in it; receipts may have been given for records in it, and the node refuses to start"}, [2]string{backupZH, backupEN}},
	CodeAnchor: {[2]string{"锚定回执库不对", "the store of anchor receipts is not right"},
		[2]string{"其中的回执不能再附在证明上；取得过的证明文件不受影响，回执的时间无法补回", "receipts of it go with no proof any more; proofs fetched before are not affected; the time of a receipt cannot be had again"},
		[2]string{"先完整备份此目录；从备份取回 data/anchor；若没有，移走它：节点会就最新的检查点重新锚定", "copy the whole home first; put data/anchor back from a backup; without one move it away: the node has its newest checkpoint witnessed again"}},
	CodeAnchorRoots: {[2]string{"锚定信任根文件不对", "the anchor roots are not right"},
		[2]string{"回执无从核验，有锚定的节点会拒绝启动", "no receipt can be verified by them, and a node with anchors refuses to start"},
		[2]string{"从备份取回，或用 qifeng anchor roots 重新生成", "put them back from a backup, or make them again with qifeng anchor roots"}},
	CodeForeign: {[2]string{"不属于这里的文件", "a file that has no place here"},
		[2]string{"节点会拒绝启动", "the node refuses to start"}, [2]string{"移走它并查明来历", "move it away and find out where it came from"}},
	CodeAudit: {[2]string{"查询日志被改动", "the log of look-ups was changed"},
		[2]string{"有行被改、删或插入", "a line was changed, taken out or put in"}, [2]string{"移走并保留它，查明原因；节点会开始新的日志", "move it away and keep it, find out why; the node begins a new one"}},
	CodeFraud: {[2]string{"欺诈证明文件不成立", "a kept fraud proof does not hold"},
		[2]string{"文件被改动", "the file was changed"}, [2]string{"移走它；节点会从保存的会签重新写出", "move it away; the node writes it again from the seals it keeps"}},

	NoteTorn:        {what: [2]string{"未写完的尾部：若机器曾断电或被杀，没有人得到过它的确认；否则请与备份比较", "an unfinished tail: nobody was told of it if the machine lost power or the process was killed; else compare with a backup"}},
	NoteGap:         {what: [2]string{"总账可见的序号缺口：这些批次曾丢失，节点已带告警继续", "a gap that the ledger shows: these batches were lost once, and the node went on with an alarm"}},
	NoteMoving:      {what: [2]string{"未完成的移动，下次启动时完成", "a move that the next start completes"}},
	NoteEmpty:       {what: [2]string{"尚无内容", "nothing there yet"}},
	NoteRestored:    {what: [2]string{"此目录标记为已恢复：启动后先不投票、不会签", "this home is marked as restored: it keeps still at first"}},
	NoteLost:        {what: [2]string{"恢复自备份时丢失的批次：须由镜像应答", "lost when this home was restored from a backup: a mirror must answer"}},
	NoteNoLedger:    {what: [2]string{"恢复后尚未启动，不与总账核对：声明的密钥、批次头与总账均未核对", "put back and not started since: keys of statements, headers and the ledger itself were not checked; they are fetched from the other members"}},
	NoteConflict:    {what: [2]string{"保存着成员对另一总账的会签：该成员说过谎", "a member's seal on another ledger is kept: that member has lied"}},
	NoteFrauds:      {what: [2]string{"保存的欺诈证明，均成立", "kept fraud proofs, all of them hold"}},
	NoteUnknown:     {what: [2]string{"没有程序读取的文件", "a file that nothing reads"}},
	NoteNoWitness:   {what: [2]string{"见证密钥及其状态均不在此处（备份中没有它们）：须生成新的", "neither the witness key nor its state is here, as after a restore: make a new one"}},
	NoteAdminGone:   {what: [2]string{"管理密钥不在此处（这样更好）", "the admin key is not here, which is better"}},
	NoteWALCut:      {what: [2]string{"CometBFT 曾在断裂处截断预写日志后继续运行，这是截断前的副本，可以删除", "CometBFT has cut its write-ahead log where it was broken, and gone on; this is the copy from before, which may be removed"}},
	NoteWALGoneOn:   {what: [2]string{"磁盘写满或进程结束时，CometBFT 的预写日志有一条消息未写完，之后的消息接着写在它后面；该日志不是证据，无需处理", "a full disk or the end of the process has cut a message of CometBFT's write-ahead log, and the next ones stand behind it; the log is no evidence, and nothing is to be done"}},
	NoteUnproved:    {what: [2]string{"锚定信任根不含其来源的回执，只核对了其检查点", "receipts of anchors that the anchor roots do not know: only their checkpoints were checked"}},
	NoteAnchorAlarm: {what: [2]string{"保存着锚定告警：见 qifeng anchor list", "alarms of anchors are kept: see qifeng anchor list"}},
	NoteNoIndex:     {what: [2]string{"存档没有索引或索引不完整；节点启动时由批次重建", "the archive has no index, or not all of it; the next start makes it again from the batches"}},
	NoteNoWAL:       {what: [2]string{"CometBFT 的预写日志不在；节点启动时会新建，最后一个高度若未完成则从其他成员取得", "CometBFT's write-ahead log is not there; the node makes a new one, and gets a height that was not finished from the others"}},
}

func (c Code) words() words { return texts[c] }
