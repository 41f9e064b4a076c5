// Nothing is missing here.

/** What to add to the message of an error. */
export const advice = () => "";
