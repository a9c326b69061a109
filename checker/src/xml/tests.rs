use super::*;

/// What was shown, a line each, or why it was refused.
fn shown(xml: &str) -> Result<Vec<String>, Reason> {
    let mut lines = Vec::new();
    read(xml.as_bytes(), &Limits::default(), &mut |open, node| {
        let path: String = open.iter().map(|name| format!("/{name}")).collect();
        lines.push(match node {
            Node::Element => path,
            Node::Attribute(name, value) => format!("{path}/@{name}={value}"),
            Node::Text(text) => format!("{path}={text}"),
            Node::Comment(comment) => format!("{path}<!--{comment}-->"),
            Node::Instruction(target, data) => format!("{path}<?{target} {data}?>"),
        });
        Ok(())
    })?;
    Ok(lines)
}

fn refused(xml: &str) -> Option<Reason> {
    read(xml.as_bytes(), &Limits::default(), &mut |_, _| Ok(())).err()
}

#[test]
fn every_node_is_shown_with_the_elements_that_are_open() {
    let xml = "\u{feff}<?xml version='1.0' encoding=\"UTF-8\" standalone='yes' ?>\n<!--head--><?go on?>\n\
               <a x='1' p:y=\"&lt;2&#x33;\" xmlns:p='urn:p'>one<p:b/>two &amp; 3<![CDATA[<&]]>&#52;</a><?end?>";
    assert_eq!(
        shown(xml).unwrap(),
        [
            "<!--head-->",
            "<?go on?>",
            "/a",
            "/a/@x=1",
            "/a/@p:y=<23",
            "/a/@xmlns:p=urn:p",
            "/a=one",
            "/a/p:b",
            "/a=two & 3<&4",
            "<?end ?>"
        ]
    );
}

#[test]
fn a_text_is_shown_whole_whatever_comments_and_instructions_divide_it() {
    let shown = shown("<a>uni<!--x-->on sel<?y?>ect<b/></a>").unwrap();
    assert_eq!(shown, ["/a", "/a<!--x-->", "/a<?y ?>", "/a=union select", "/a/b"]);
}

#[test]
fn white_space_is_what_an_application_gets() {
    assert_eq!(
        shown("<a b='1\r\n\t2&#10;3\r'>x\r\ny\rz&#13;</a>").unwrap(),
        ["/a", "/a/@b=1  2\n3 ", "/a=x\ny\nz\r"]
    );
}

#[test]
fn a_document_type_and_what_entities_there_are_have_reasons_of_their_own() {
    for (xml, reason) in [
        ("<!DOCTYPE a><a/>", Reason::XmlDtd),
        (
            "<?xml version=\"1.0\"?>\n<!--c--><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
            Reason::XmlDtd,
        ),
        ("<a>&b;</a>", Reason::XmlEntity),
        ("<a b='&nbsp;'/>", Reason::XmlEntity),
        ("<a><!DOCTYPE a></a>", Reason::XmlSyntax),
        ("<!doctype a><a/>", Reason::XmlSyntax),
        ("<?xml version='1.1'?><a/>", Reason::XmlDeclaration),
        ("<?xml version='1.0' encoding='iso-8859-1'?><a/>", Reason::XmlDeclaration),
        ("<?xml version='1.0' encoding='utf-7'?><a>+ADw-</a>", Reason::XmlDeclaration),
    ] {
        assert_eq!(refused(xml), Some(reason), "{xml}");
    }
    assert_eq!(read(b"<a>\xff</a>", &Limits::default(), &mut |_, _| Ok(())), Err(Reason::XmlUtf8));
    assert_eq!(read(b"<a>\xc0\xaf</a>", &Limits::default(), &mut |_, _| Ok(())), Err(Reason::XmlUtf8));
}

#[test]
fn what_is_not_well_formed_is_refused() {
    for xml in [
        "",
        " ",
        "a",
        "<a>",
        "</a>",
        "<a></b>",
        "<a></A>",
        "<a/><b/>",
        "<a/>x",
        "x<a/>",
        "<a/><![CDATA[]]>",
        "<a",
        "<a b/>",
        "<a b=c/>",
        "<a b='c'd='e'/>",
        "<a b='<'/>",
        "<a b='c/>",
        "< a/>",
        "<a></a b='c'>",
        "<a></ a>",
        "<1/>",
        "<-a/>",
        "<a 1='b'/>",
        "<a>]]></a>",
        "<a><![CDATA[</a>",
        "<a><![cdata[]]></a>",
        "<a>&</a>",
        "<a>&lt</a>",
        "<a>& lt;</a>",
        "<a>&#;</a>",
        "<a>&#x;</a>",
        "<a>&#X41;</a>",
        "<a>&#0;</a>",
        "<a>&#xD800;</a>",
        "<a>&#xFFFE;</a>",
        "<a>&#x110000;</a>",
        "<a>&#99999999999;</a>",
        "<a>&#-1;</a>",
        "<a>&#+1;</a>",
        "<a>\u{1}</a>",
        "<a>\u{fffe}</a>",
        "<a><!-- -- --></a>",
        "<a><!----->",
        "<a><!-- --->",
        "<a><!-</a>",
        "<a><??></a>",
        "<a><?xml?></a>",
        "<a><?XmL ?></a>",
        "<?xml?><a/>",
        " <?xml version='1.0'?><a/>",
        "<?xml encoding='utf-8'?><a/>",
        "<?xml version='1.0' standalone='yes' encoding='utf-8'?><a/>",
        "<?xml version='1.0' standalone='maybe'?><a/>",
        "<?xml version='1.0'encoding='utf-8'?><a/>",
        "<?xml version=1.0?><a/>",
        "<a><?b</a>",
        "<a><?b?c</a>",
    ] {
        assert_eq!(refused(xml), Some(Reason::XmlSyntax), "{xml}");
    }
}

#[test]
fn namespaces_are_resolved() {
    for (xml, reason) in [
        ("<p:a/>", Reason::XmlNamespace),
        ("<a p:b=''/>", Reason::XmlNamespace),
        ("<a><b xmlns:p='u'/><p:c/></a>", Reason::XmlNamespace),
        ("<a xmlns:p=''/>", Reason::XmlNamespace),
        ("<a xmlns:xml='u'/>", Reason::XmlNamespace),
        ("<a xmlns:xmlns='u'/>", Reason::XmlNamespace),
        ("<xmlns:a/>", Reason::XmlNamespace),
        ("<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>", Reason::XmlNamespace),
        ("<a xmlns='http://www.w3.org/2000/xmlns/'/>", Reason::XmlNamespace),
        ("<a:b:c/>", Reason::XmlNamespace),
        ("<a: xmlns:a='u'/>", Reason::XmlNamespace),
        ("<:a/>", Reason::XmlNamespace),
        ("<a:1 xmlns:a='u'/>", Reason::XmlNamespace),
        ("<a><?b:c?></a>", Reason::XmlNamespace),
        ("<a b='' b=''/>", Reason::XmlAttributeRepeated),
        ("<a xmlns='u' xmlns='u'/>", Reason::XmlAttributeRepeated),
        ("<a xmlns:p='u' xmlns:q='u' p:b='' q:b=''/>", Reason::XmlAttributeRepeated),
        ("<a xmlns:p='u' xmlns:q='&#117;' p:b='' q:b=''/>", Reason::XmlAttributeRepeated),
    ] {
        assert_eq!(refused(xml), Some(reason), "{xml}");
    }
    for xml in [
        "<a xml:lang='en'/>",
        "<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns='u'><b xmlns=''/></a>",
        "<a xmlns='u' xmlns:p='u' b='' p:b=''/>",
        "<p:a p:b='' xmlns:p='u'/>",
        "<a xmlns:p='u'><b xmlns:p='v' p:c=''/><p:d/></a>",
        "<a xmlns:p='u' xmlns:q='U' p:b='' q:b=''/>",
        "<é_.-·1>ü</é_.-·1>",
    ] {
        assert_eq!(refused(xml), None, "{xml}");
    }
}

#[test]
fn each_limit_holds_at_its_value_and_not_one_beyond() {
    let limits = Limits {
        element_name_length: 3,
        attribute_name_length: 2,
        prefix_length: 2,
        instruction_name_length: 2,
        depth: 2,
        attributes: 1,
        namespaces: 1,
        child_elements: 2,
        child_texts: 2,
        child_comments: 1,
        child_instructions: 1,
        text_length: 4,
        attribute_length: 2,
        namespace_length: 3,
        comment_length: 3,
        instruction_length: 3,
        nodes: 7,
    };
    for (within, beyond, reason) in [
        ("<abc/>", "<abcd/>", Reason::XmlNameLength),
        ("<a bc=''/>", "<a bcd=''/>", Reason::XmlNameLength),
        ("<pq:a xmlns:pq='u'/>", "<pqr:a xmlns:pqr='u'/>", Reason::XmlNameLength),
        ("<?ab?><a/>", "<?abc?><a/>", Reason::XmlNameLength),
        ("<a><b/></a>", "<a><b><c/></b></a>", Reason::XmlDepth),
        ("<a b='' xmlns='u'/>", "<a b='' c=''/>", Reason::XmlAttributes),
        ("<a xmlns='u' b=''/>", "<a xmlns='u' xmlns:b='u'/>", Reason::XmlNamespaces),
        ("<a><b/><b/></a>", "<a><b/><b/><b/></a>", Reason::XmlChildren),
        ("<a>1<!--x-->2</a>", "<a>1<!--x-->2<b/>3</a>", Reason::XmlChildren),
        ("<a>1<![CDATA[2]]>3&lt;</a>", "<a>1<![CDATA[2]]>3&lt;4</a>", Reason::XmlTextLength),
        ("<a>12<!--x-->34</a>", "<a>12<!--x-->345</a>", Reason::XmlTextLength),
        ("<a><!--1--></a>", "<a><!--1--><!--2--></a>", Reason::XmlChildren),
        ("<!--1--><a/>", "<!--1--><a/><!--2-->", Reason::XmlChildren),
        ("<a><?b?></a>", "<a><?b?><?c?></a>", Reason::XmlChildren),
        ("<a b='12'/>", "<a b='123'/>", Reason::XmlAttributeLength),
        ("<a xmlns='abc'/>", "<a xmlns='abcd'/>", Reason::XmlNamespaceLength),
        ("<a><!--123--></a>", "<a><!--1234--></a>", Reason::XmlCommentLength),
        ("<a><?b 123?></a>", "<a><?b 1234?></a>", Reason::XmlInstructionLength),
        (
            "<a b='1'><b b='1'>1</b><b b='1'/></a>",
            "<a b='1'><b b='1'>1</b><b b='1'>1</b></a>",
            Reason::XmlNodes,
        ),
    ] {
        assert_eq!(read(within.as_bytes(), &limits, &mut |_, _| Ok(())), Ok(()), "{within}");
        assert_eq!(read(beyond.as_bytes(), &limits, &mut |_, _| Ok(())), Err(reason), "{beyond}");
    }
}

#[test]
fn whoever_is_shown_nodes_can_end_the_reading() {
    let mut shown = 0;
    let read = read(b"<a>b<c/></a>&", &Limits::default(), &mut |_, _| {
        shown += 1;
        if shown == 3 { Err(Reason::BodyUnread) } else { Ok(()) }
    });
    assert_eq!((read, shown), (Err(Reason::BodyUnread), 3));
}

#[test]
fn every_beginning_of_a_document_is_refused_without_panic() {
    let xml =
        "<?xml version='1.0'?><!--é--><a xmlns:p='ü' p:b=\"&#x1F600;\"><![CDATA[é]]>ü&amp;<?t d?><p:c/></a>";
    for (end, _) in xml.char_indices() {
        assert!(refused(&xml[..end]).is_some(), "{}", &xml[..end]);
    }
    assert_eq!(refused(xml), None);
}
