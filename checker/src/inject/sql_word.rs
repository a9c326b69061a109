//! The words of SQL.

/// A word, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word {
    And,
    Or,
    Not,
    Union,
    /// `all`, `distinct`.
    All,
    Select,
    From,
    Where,
    Having,
    Order,
    Group,
    By,
    Limit,
    As,
    Case,
    When,
    Exists,
    Procedure,
    Waitfor,
    Into,
    If,
    Between,
    /// A comparison that is a word: `like`, `regexp`, `in`, `is`, …
    Compare,
    /// `null`, `true`, `false`.
    Literal,
    /// What a statement begins with, other than `select`.
    Statement,
    /// A name of a server's own that programs hardly ever ask for: its catalogue, functions that wait, read files or run commands.
    Inner,
    /// A function that is common in SQL.
    Function,
    Plain,
}

/// What a word in lower case is.
pub(super) fn classify(word: &[u8]) -> Word {
    if word.len() > 2 && word[0] == b'x' && (word.starts_with(b"xp_") || word.starts_with(b"xmltype")) {
        return Word::Inner;
    }
    match word {
        b"and" => Word::And,
        b"or" | b"xor" => Word::Or,
        b"not" => Word::Not,
        b"union" | b"funion" | b"dunion" | b"xunion" | b"intersect" | b"except" | b"minus" => Word::Union,
        b"all" | b"distinct" | b"distinctrow" => Word::All,
        b"select" => Word::Select,
        b"from" => Word::From,
        b"where" => Word::Where,
        b"having" => Word::Having,
        b"order" => Word::Order,
        b"group" => Word::Group,
        b"by" => Word::By,
        b"limit" => Word::Limit,
        b"as" => Word::As,
        b"case" => Word::Case,
        b"when" => Word::When,
        b"exists" => Word::Exists,
        b"procedure" => Word::Procedure,
        b"waitfor" => Word::Waitfor,
        b"into" => Word::Into,
        b"if" | b"iif" => Word::If,
        b"between" => Word::Between,
        b"like" | b"rlike" | b"regexp" | b"in" | b"is" | b"glob" | b"sounds" | b"ilike" | b"similar" => {
            Word::Compare
        }
        b"null" | b"true" | b"false" => Word::Literal,
        b"insert" | b"update" | b"delete" | b"drop" | b"create" | b"alter" | b"exec" | b"execute"
        | b"declare" | b"truncate" | b"grant" | b"revoke" | b"shutdown" | b"merge" | b"replace" | b"call"
        | b"begin" | b"show" | b"set" | b"load" | b"rename" | b"handler" | b"copy" | b"with" | b"explain"
        | b"use" | b"backup" | b"restore" | b"kill" | b"dump" => Word::Statement,
        b"pg_sleep"
        | b"benchmark"
        | b"extractvalue"
        | b"updatexml"
        | b"load_file"
        | b"make_set"
        | b"randomblob"
        | b"ctxsys"
        | b"sysobjects"
        | b"syscolumns"
        | b"sysusers"
        | b"sysdatabases"
        | b"sysibm"
        | b"syscat"
        | b"sysprocesses"
        | b"syslogins"
        | b"information_schema"
        | b"msysaccessobjects"
        | b"msysaces"
        | b"sqlite_master"
        | b"sqlite_version"
        | b"openrowset"
        | b"opendatasource"
        | b"crypt_key"
        | b"regexp_substring"
        | b"all_tables"
        | b"user_tables"
        | b"user_tab_columns"
        | b"pg_user"
        | b"pg_shadow"
        | b"pg_database"
        | b"pg_read_file"
        | b"pg_ls_dir"
        | b"pg_catalog"
        | b"all_users"
        | b"sp_executesql"
        | b"sp_password"
        | b"sp_makewebtask"
        | b"sp_oacreate"
        | b"sp_addextendedproc"
        | b"sp_configure"
        | b"sys_eval"
        | b"sys_exec"
        | b"name_const"
        | b"gtid_subset"
        | b"st_latfromgeohash"
        | b"user_lock"
        | b"sys_context"
        | b"get_host_address"
        | b"drithsx"
        | b"concat_ws"
        | b"group_concat"
        | b"system_user"
        | b"session_user"
        | b"is_srvrolemember"
        | b"is_member"
        | b"db_name"
        | b"host_name"
        | b"all_tab_columns"
        | b"mb_users"
        | b"lo_import"
        | b"query_to_xml"
        | b"database_to_xml"
        | b"load_extension"
        | b"schema_name"
        | b"current_setting"
        | b"find_in_set"
        | b"coercibility"
        | b"syslanguages"
        | b"v$version"
        | b"xp_cmdshell"
        | b"domain_id" => Word::Inner,
        b"sleep"
        | b"elt"
        | b"char"
        | b"chr"
        | b"ascii"
        | b"ord"
        | b"substring"
        | b"substr"
        | b"mid"
        | b"concat"
        | b"hex"
        | b"unhex"
        | b"version"
        | b"user"
        | b"database"
        | b"current_user"
        | b"cast"
        | b"convert"
        | b"count"
        | b"md5"
        | b"sha1"
        | b"sha"
        | b"length"
        | b"len"
        | b"exp"
        | b"floor"
        | b"rand"
        | b"nvl"
        | b"ifnull"
        | b"isnull"
        | b"coalesce"
        | b"pi"
        | b"upper"
        | b"lower"
        | b"repeat"
        | b"row"
        | b"bin"
        | b"conv"
        | b"quote"
        | b"left"
        | b"right"
        | b"greatest"
        | b"least"
        | b"generate_series"
        | b"current_database"
        | b"schema"
        | b"uuid"
        | b"strcmp"
        | b"position"
        | b"locate"
        | b"instr"
        | b"polygon"
        | b"multipoint"
        | b"geometrycollection"
        | b"linestring"
        | b"json_keys"
        | b"aes_encrypt"
        | b"aes_decrypt"
        | b"to_char"
        | b"string_agg"
        | b"listagg"
        | b"unicode"
        | b"nullif"
        | b"if_null"
        | b"reverse"
        | b"compress"
        | b"encode"
        | b"decode"
        | b"password"
        | b"cos"
        | b"sin"
        | b"abs"
        | b"ceil"
        | b"json_extract"
        | b"charset"
        | b"collation"
        | b"to_number"
        | b"bit_length"
        | b"char_length"
        | b"lpad"
        | b"rpad"
        | b"lcase"
        | b"ucase"
        | b"find"
        | b"sysdate"
        | b"current_date"
        | b"sum"
        | b"min"
        | b"max" => Word::Function,
        // Locks and messages between programs.
        b"pg_notify" | b"pg_temp" | b"pg_prepared_xacts" | b"pg_cancel_backend" => Word::Plain,
        other if other.starts_with(b"pg_advisory_") || other.starts_with(b"pg_try_advisory_") => Word::Plain,
        other if other.starts_with(b"pg_") && other.len() > 4 => Word::Inner,
        other if other.starts_with(b"dbms_") || other.starts_with(b"utl_") || other.starts_with(b"rdb$") => {
            Word::Inner
        }
        _ => Word::Plain,
    }
}

/// A type of PostgreSQL's, behind `::`.
pub(super) fn is_type(word: &[u8]) -> bool {
    matches!(
        word,
        b"int"
            | b"integer"
            | b"bigint"
            | b"text"
            | b"json"
            | b"jsonb"
            | b"varchar"
            | b"numeric"
            | b"smallint"
            | b"real"
            | b"double"
            | b"oid"
            | b"regclass"
            | b"bool"
            | b"boolean"
    )
}
