// A request's form: an input for each field of its message, with the range, the default and the help of the proto.

import { type DescField, type DescMessage, type DescOneof } from "@bufbuild/protobuf";
import { useId } from "react";
import { useOwn } from "../../../i18n/index.tsx";
import { WORDS } from "../words/playground.ts";
import { beginningOf, exampleOf, isRequired, type Json, type JsonObject, kindOf, mapFrom, mapText, memberOf, rangeOf, rulesOf, scalarFrom, valueOf, withField, withValue } from "./form-model.ts";
import type { Help } from "./help.ts";
import { HistoryEditor } from "./history-editor.tsx";

interface MessageProps {
  message: DescMessage;
  value: JsonObject;
  change: (value: JsonObject) => void;
  help: Help;
}

export function MessageForm({ message, value, change, help }: MessageProps) {
  const words = useOwn(WORDS);
  const required = message.members.filter(isRequired);
  const others = message.members.filter((member) => !isRequired(member));
  const input = (member: DescField | DescOneof) => (member.kind === "oneof"
    ? <OneofInput key={member.name} oneof={member} value={value} change={change} help={help} />
    : <FieldInput key={member.name} field={member} value={valueOf(value, member)} change={(next) => change(withField(value, member, next ?? ""))} help={help} />);
  if (message.members.length === 0) return <p className="soft small">{words.none}</p>;
  return (
    <div className="proto-form">
      {required.map(input)}
      {required.length > 0 && others.length > 5 ? <details className="proto-more" open={undefined}><summary>{words.optional} <span className="soft">({others.length})</span></summary><div className="proto-form">{others.map(input)}</div></details> : others.map(input)}
    </div>
  );
}

function OneofInput({ oneof, value, change, help }: { oneof: DescOneof } & Omit<MessageProps, "message">) {
  const words = useOwn(WORDS);
  const member = memberOf(value, oneof);
  const choose = (name: string) => {
    const field = oneof.fields.find((one) => one.name === name);
    if (field !== undefined) change(withField(value, field, beginningOf(field)));
    else if (member !== undefined) change(withField(value, member, undefined));
  };
  return (
    <div className="proto-oneof">
      {oneof.fields.length > 1 || !isRequired(oneof) ? (
        <label className="field">
          <span><code>{oneof.name}</code>{isRequired(oneof) && <Required />}</span>
          <select value={member?.name ?? ""} onChange={(event) => choose(event.target.value)}>
            <option value="">{words.none}</option>
            {oneof.fields.map(({ name }) => <option key={name} value={name}>{name}</option>)}
          </select>
        </label>
      ) : member === undefined && oneof.fields[0] !== undefined && (
        <FieldInput field={oneof.fields[0]} value={undefined} change={(next) => oneof.fields[0] && change(withField(value, oneof.fields[0], next))} help={help} isRequired />
      )}
      {member !== undefined && <FieldInput field={member} value={valueOf(value, member)} change={(next) => change(withField(value, member, next))} help={help} isRequired={isRequired(oneof)} />}
    </div>
  );
}

function Required() {
  return <span className="required"> {useOwn(WORDS).required}</span>;
}

interface FieldProps {
  field: DescField;
  value: Json | undefined;
  change: (value: Json | undefined) => void;
  help: Help;
  isRequired?: boolean;
}

/** What a number may be, its unit, and what absence means. */
function useHints(field: DescField): string[] {
  const words = useOwn(WORDS);
  const found = rulesOf(field);
  const { min, max } = rangeOf(field);
  const hints: string[] = [];
  if (min !== undefined && max !== undefined) hints.push(words.range(String(min), String(max)));
  else if (min !== undefined && min > 0) hints.push(words.from(String(min)));
  else if (max !== undefined) hints.push(words.to(String(max)));
  if (found?.unit) hints.push(found.unit);
  return hints;
}

function FieldInput({ field, value, change, help, isRequired: mustBe = isRequired(field) }: FieldProps) {
  const id = useId();
  const kind = kindOf(field);
  const hints = useHints(field);
  const told = help.field(field.parent.name, field.name);
  if (kind === "message" || kind === "messages") return <NestedInput field={field} value={value} change={change} help={help} />;
  return (
    <div className="field proto-field">
      <label htmlFor={id}><code>{field.name}</code>{mustBe && <Required />} {hints.length > 0 && <span className="soft small">{hints.join(", ")}</span>}</label>
      <ScalarInput id={id} field={field} value={value} change={change} />
      {told !== undefined && <p id={`${id}-help`} className="proto-help small soft" lang="en">{told}</p>}
    </div>
  );
}

function ScalarInput({ id, field, value, change }: Omit<FieldProps, "help"> & { id: string }) {
  const words = useOwn(WORDS);
  const kind = kindOf(field);
  const found = rulesOf(field);
  const preset = found?.defaultValue ?? "";
  const absent = preset === "" ? words.absent : words.absentOf(preset);
  const shared = { id, "aria-describedby": `${id}-help` };
  if (kind === "bool") {
    return (
      <select {...shared} value={value === undefined ? "" : String(value)} onChange={(event) => change(event.target.value === "" ? undefined : event.target.value === "true")}>
        <option value="">{absent}</option>
        <option value="true">true</option>
        <option value="false">false</option>
      </select>
    );
  }
  if (kind === "enum") {
    return (
      <select {...shared} value={typeof value === "string" ? value : ""} onChange={(event) => change(event.target.value === "" ? undefined : event.target.value)}>
        <option value="">{absent}</option>
        {field.enum?.values.filter(({ number }) => number !== 0).map(({ name, localName }) => <option key={name} value={name}>{localName}</option>)}
      </select>
    );
  }
  if (kind === "list") {
    const texts = Array.isArray(value) ? value.map(String).join(", ") : "";
    const set = (text: string) => {
      const parts = text.split(",").map((part) => part.trim()).filter((part) => part !== "");
      change(parts.length === 0 ? undefined : parts.map((part) => scalarFrom(part, field.scalar)));
    };
    // What is written is taken over once it is whole, so that a comma can be written.
    return <input {...shared} key={texts} type="text" spellCheck={false} placeholder={words.commas} defaultValue={texts} onBlur={(event) => set(event.target.value)} onKeyDown={(event) => event.key === "Enter" && set(event.currentTarget.value)} />;
  }
  if (kind === "map") {
    const text = isObject(value) ? mapText(value) : "";
    const set = (typed: string) => {
      const map = mapFrom(typed, field.scalar);
      change(Object.keys(map).length === 0 ? undefined : map);
    };
    return <input {...shared} key={text} type="text" spellCheck={false} placeholder={words.pairs} defaultValue={text} onBlur={(event) => set(event.target.value)} onKeyDown={(event) => event.key === "Enter" && set(event.currentTarget.value)} />;
  }
  const { min, max } = rangeOf(field);
  const isNumber = kind === "integer" || kind === "number";
  const isLong = isNumber && typeof beginningOf(field) === "string";
  const number = value === undefined || value === "" ? undefined : Number(value);
  const isWrong = isNumber && number !== undefined && (Number.isNaN(number) || (min !== undefined && number < min) || (max !== undefined && number > max));
  return (
    <input
      {...shared}
      type={isNumber && !isLong ? "number" : "text"}
      inputMode={isLong ? "numeric" : undefined}
      min={min}
      max={max}
      step={kind === "number" ? (found?.step ?? "any") : 1}
      maxLength={found?.maxLength || undefined}
      placeholder={kind === "time" ? "2026-01-31T12:00:00Z" : preset || found?.example}
      aria-invalid={isWrong || undefined}
      spellCheck={false}
      value={value === undefined || value === null ? "" : String(value)}
      onChange={(event) => change(event.target.value === "" ? undefined : kind === "time" ? event.target.value : scalarFrom(event.target.value, field.scalar))}
    />
  );
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A message in a message, or a list of them. */
function NestedInput({ field, value, change, help }: Omit<FieldProps, "isRequired">) {
  const words = useOwn(WORDS);
  const { message } = field;
  if (message === undefined) return null;
  const told = help.field(field.parent.name, field.name);
  if (kindOf(field) === "messages") {
    const items = Array.isArray(value) ? value : [];
    return (
      <fieldset className="proto-nested">
        <legend><code>{field.name}</code></legend>
        {told !== undefined && <p className="small soft" lang="en">{told}</p>}
        {items.map((item, at) => (
          // Items have no other name than their place.
          // oxlint-disable-next-line react/no-array-index-key
          <div key={`${at} of ${items.length}`} className="proto-item">
            <MessageForm message={message} value={isObject(item) ? item : {}} change={(next) => change(items.map((one, place) => (place === at ? next : one)))} help={help} />
            <button type="button" className="button-small" onClick={() => change(items.length === 1 ? undefined : items.filter((_, place) => place !== at))}>{words.remove}</button>
          </div>
        ))}
        <p><button type="button" className="button-small" onClick={() => change([...items, exampleOf(message)])}>{words.add}</button></p>
      </fieldset>
    );
  }
  const isThere = isObject(value);
  return (
    <fieldset className="proto-nested">
      <legend><code>{field.name}</code></legend>
      {told !== undefined && <p className="small soft" lang="en">{told}</p>}
      {!isThere && <p><button type="button" className="button-small" onClick={() => change(exampleOf(message))}>{words.set}</button></p>}
      {isThere && (message.name === "History"
        ? <HistoryEditor movieIds={movieIdsOf(value)} change={(ids) => change(withValue(withValue(value, "movieIds", undefined), "movie_ids", ids))} />
        : <MessageForm message={message} value={value} change={change} help={help} />)}
      {isThere && field.oneof === undefined && <p><button type="button" className="button-small" onClick={() => change(undefined)}>{words.remove}</button></p>}
    </fieldset>
  );
}

function movieIdsOf(history: JsonObject): number[] {
  const found = history["movie_ids"] ?? history["movieIds"];
  return Array.isArray(found) ? found.map(Number).filter((id) => Number.isInteger(id)) : [];
}

